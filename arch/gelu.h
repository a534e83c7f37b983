/*
 * Constants of the two GELUs.  Order of operations, the same on every backend:
 *
 *     gelu       (0.5 x) (1 + erf(x SQRT1_2))
 *     gelu_tanh  (0.5 x) (1 + tanh(SQRT_2_PI fma(CUBE (x x), x, x)))
 */
#ifndef NIB_GELU_H
#define NIB_GELU_H

#define NIB_GELU_SQRT1_2   0.707106781f
#define NIB_GELU_SQRT_2_PI 0.797884561f
#define NIB_GELU_CUBE      0.044715f

#endif
