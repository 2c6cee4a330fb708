/*
 * Errors. Library code returns ffl_status; ffl_fail keeps one message per thread, naming what and where
 * (file, option, value), and main.c alone prints it. FFL_TRY passes a failure up unchanged.
 */
#ifndef FFL_KERNELS_STATUS_H
#define FFL_KERNELS_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffl_status {
    FFL_OK = 0,
    FFL_BAD_INPUT,   /* an option, a shape or a file from outside is wrong */
    FFL_NO_MEMORY,   /* an allocation failed */
    FFL_UNSUPPORTED, /* this build or machine cannot do it; the message says why */
    FFL_IO,          /* the operating system refused a read, write or spawn */
    FFL_DEVICE,      /* a GPU call or launch failed */
    FFL_INTERRUPTED, /* the user pressed Ctrl-C; finished work is kept */
    FFL_INTERNAL     /* a broken promise inside the lab */
} ffl_status;

/* Keeps the message (at most 1023 characters) for this thread and returns `code`. */
ffl_status ffl_fail(ffl_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Message of the last ffl_fail on this thread, "" if none; valid until the next ffl_fail. */
const char *ffl_error(void);

#define FFL_TRY(call)                                                                                        \
    do {                                                                                                     \
        const ffl_status ffl_try_status_ = (call);                                                           \
        if (ffl_try_status_ != FFL_OK)                                                                       \
            return ffl_try_status_;                                                                          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
