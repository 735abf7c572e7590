/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

tilefold_status tilefold_fail(tilefold_message *message, tilefold_status status, const char *format, ...) {
    if (message) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message->text, sizeof message->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

const char *tilefold_status_name(tilefold_status status) {
    switch (status) {
    case TILEFOLD_OK: return "ok";
    case TILEFOLD_INVALID_ARGUMENT: return "invalid argument";
    case TILEFOLD_OVERFLOW: return "overflow";
    case TILEFOLD_UNSUPPORTED: return "unsupported";
    case TILEFOLD_LIMIT_TOO_SMALL: return "limit too small";
    case TILEFOLD_OUT_OF_MEMORY: return "out of memory";
    case TILEFOLD_CANCELLED: return "cancelled";
    case TILEFOLD_NO_DEVICE: return "no device";
    case TILEFOLD_DEVICE_LOST: return "device lost";
    case TILEFOLD_DISAGREEMENT: return "disagreement";
    }
    return "unknown status";
}
