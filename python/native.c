/* SPDX-License-Identifier: MIT */
#include "native.h"

bool tilefold_python_progress(void *user, int64_t done, int64_t total) {
    tilefold_python_watch *watch = user;
    watch->total = total;
    watch->done = done;
    return !watch->cancel;
}
