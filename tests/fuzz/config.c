#include "harness/encoder/config.h"
#include "tests/fuzz/targets.h"

ffl_status fuzz_config(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    ffl_encoder_config config;
    const ffl_status status = ffl_encoder_config_read(path, &config);
    fuzz_expect_named(status, path);
    if (status != FFL_OK)
        return status;
    fuzz_expect(ffl_encoder_config_check(&config) == FFL_OK, "what was read is sound");
    const ffl_layer layer = ffl_encoder_layer_shape(&config);
    fuzz_expect(layer.neurons == config.neurons, "the layer has the neurons of the configuration");
    fuzz_expect(config.width % config.heads == 0, "heads divide the width");
    fuzz_expect(ffl_encoder_longest(&config) >= 1, "a sequence of one token fits");
    fuzz_expect(ffl_encoder_parameters(&config) >= config.neurons, "parameters do not overflow");
    return FFL_OK;
}
