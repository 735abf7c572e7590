/* Who may use a file.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_PERMISSIONS_POSIX_H
#define TILEFOLD_CLI_PERMISSIONS_POSIX_H

/* Gives the open file the owner, the group, the access control list (Linux) and the mode of the one at path, if there is
 * one. What this process may not give, it does not widen: a group that differs gets what everybody has. 0 or an errno. */
int tilefold_cli_copy_permissions(const char *path, int file);

#endif
