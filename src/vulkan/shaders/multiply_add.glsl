// SPDX-License-Identifier: MIT
// A link of a chain: sum + a * b, rounded once where the device's fma() is fused; ../probe.c finds out. Tests on a device where
// it is not define EXACT_FMA, and so have the CPU's bits from all else that these shaders do.
#ifdef EXACT_FMA
#include "exact_fma.glsl"
#else
#define multiply_add(a, b, sum) fma(a, b, sum)
#endif
