/* libFuzzer's entry to one target (FUZZ_TARGET), and what it must know to get past a file's first bytes. */
#include "tests/fuzz/targets.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_TARGET(data, size);
    return 0;
}

#ifdef FUZZ_HEADER_LENGTH
/* A .safetensors file begins with the length of its header. Three times in four that is mended after a
 * change: else hardly any input gets further. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    uint64_t end = size;
    while (end > 8 && data[end - 1] != '}')
        end--;
    if (seed % 4 && end > 8) {
        const uint64_t length = end - 8;
        memcpy(data, &length, sizeof length);
    }
    return size;
}
#endif
