/* How a paired comparison samples. */
#ifndef FFL_HARNESS_SAMPLING_H
#define FFL_HARNESS_SAMPLING_H

#define FFL_SLICE_SECONDS 2e-3
enum { FFL_SEATS = 4, FFL_PAIRS_DEFAULT = 120, FFL_PAIRS_MOST = 100000 };

#endif
