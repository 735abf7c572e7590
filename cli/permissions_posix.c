/* Who may use a file. See permissions_posix.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* fchown, fchmod */

#include "permissions_posix.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/xattr.h>
#endif

/* The group bits of a mode bound what a list grants, so that a mode must not be copied without its list. */
static bool copy_access_list(const char *path, int file) {
#ifdef __linux__
    static const char name[] = "system.posix_acl_access";
    char list[4096];
    ssize_t bytes = getxattr(path, name, list, sizeof list);
    if (bytes >= 0) return fsetxattr(file, name, list, (size_t)bytes, 0) == 0;
    if (errno == ENOTSUP) return true;
    /* The file may have inherited one from its directory. */
    return errno == ENODATA && (fremovexattr(file, name) == 0 || errno == ENODATA || errno == ENOTSUP);
#else
    (void)path;
    (void)file;
    return true;
#endif
}

int tilefold_cli_copy_permissions(const char *path, int file) {
    struct stat wanted;
    if (stat(path, &wanted) != 0) return errno == ENOENT ? 0 : errno;
    bool grouped = fchown(file, wanted.st_uid, wanted.st_gid) == 0 || fchown(file, (uid_t)-1, wanted.st_gid) == 0;
    mode_t mode = wanted.st_mode & 0777;
    if (!copy_access_list(path, file) || !grouped) mode &= ~(mode_t)070 | (mode & 07) << 3;
    return fchmod(file, mode) == 0 ? 0 : errno;
}
