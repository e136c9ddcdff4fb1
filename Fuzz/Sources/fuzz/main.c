/* libFuzzer has main(); FuzzTargets has LLVMFuzzerTestOneInput(). */
