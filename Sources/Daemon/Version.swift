import System

public typealias Version = System.Version
