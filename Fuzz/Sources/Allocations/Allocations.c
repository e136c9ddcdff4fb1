#include "Allocations.h"

/* sanitizer/allocator_interface.h; without a sanitizer, nothing is counted. */
__attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
                                                                    void (*freed)(const volatile void *));

static size_t largest;

static void allocated(const volatile void *pointer, size_t size) {
    (void)pointer;
    if (size > largest) {
        largest = size;
    }
}

static void freed(const volatile void *pointer) {
    (void)pointer;
}

__attribute__((constructor)) static void install(void) {
    if (__sanitizer_install_malloc_and_free_hooks) {
        __sanitizer_install_malloc_and_free_hooks(allocated, freed);
    }
}

size_t allocations_take_largest(void) {
    size_t result = largest;
    largest = 0;
    return result;
}
