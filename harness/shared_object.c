#define _GNU_SOURCE
#include "harness/shared_object.h"
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static ffl_status check(FILE *file)
{
    ElfW(Ehdr) header;
    struct stat size;
    if (fstat(fileno(file), &size) != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s", strerror(errno));
    if (!S_ISREG(size.st_mode))
        return ffl_fail(FFL_BAD_INPUT, "not a file");
    if (fread(&header, sizeof header, 1, file) != 1 || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_type != ET_DYN || header.e_phentsize != sizeof(ElfW(Phdr)))
        return ffl_fail(FFL_BAD_INPUT, "not a shared object");
    if (fseeko(file, (off_t)header.e_phoff, SEEK_SET) != 0)
        return ffl_fail(FFL_BAD_INPUT, "not a shared object");
    for (unsigned i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        if (fread(&segment, sizeof segment, 1, file) != 1 || segment.p_offset > (ElfW(Off))size.st_size ||
            segment.p_filesz > (ElfW(Off))size.st_size - segment.p_offset)
            return ffl_fail(FFL_BAD_INPUT, "the file is cut short at %lld bytes", (long long)size.st_size);
    }
    return FFL_OK;
}

ffl_status ffl_shared_object_check(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return ffl_fail(FFL_BAD_INPUT, "%s", strerror(errno));
    const ffl_status status = check(file);
    fclose(file);
    return status;
}
