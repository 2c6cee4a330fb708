#!/usr/bin/env python3
"""Writes kernels/simd/gelu_terms.h: fit_gelu.py > gelu_terms.h (needs numpy and mpmath).

    gelu(z) = max(z, 0) - a*Q(a),   a = |z|,   Q(a) = erfc(a/sqrt 2)/2 = R(a)*exp(-a*a/2)

R falls smoothly from 1/2 to 0.4/a: a rational function P/Q with positive coefficients meets it to 3e-8 of
its value on [0, 13.2], and loses next to nothing when evaluated in float. exp(r) on |r| <= ln2/2 is
1 + r + r^2*E(r). Both fits are weighted least squares pushed towards equal ripple (Lawson); the reference
is mpmath at 40 digits. The accuracy of the whole, coefficients rounded to float and float arithmetic
included, is measured where it counts: tests/test_simd.c, against erfc in double.
"""
import mpmath
import numpy

mpmath.mp.dps = 40
A_MAX, DEGREE_P, DEGREE_Q, DEGREE_E = 13.2, 4, 5, 4


def lawson(columns, target, rounds=400):
    """Coefficients with (nearly) smallest maximum of |columns @ c - target|."""
    weight = numpy.ones(len(target))
    best = None
    for _ in range(rounds):
        root = numpy.sqrt(weight)[:, None]
        c = numpy.linalg.lstsq(columns * root, target * root[:, 0], rcond=None)[0]
        error = numpy.abs(columns @ c - target)
        if best is None or error.max() < best[0]:
            best = (error.max(), c)
        weight *= error / error.max() + 1e-6
        weight /= weight.max()
    return best[1]


def fit_ratio():
    """R = (1/2 + p1 a + ...) / (1 + q1 a + ...), relative error; the ends of both are fixed: gelu(z) ~ z/2."""
    s = numpy.cos(numpy.linspace(0, numpy.pi, 3000))
    a = A_MAX * ((1 - s) / 2) ** 2  # denser near 0, where R bends
    r = numpy.array([float(mpmath.erfc(x / mpmath.sqrt(2)) * mpmath.exp(mpmath.mpf(x) ** 2 / 2) / 2) for x in a])
    q_previous = numpy.ones_like(a)
    for _ in range(12):  # linearised: P - R*Q over R*Q of the round before
        scale = 1 / (r * q_previous)
        columns = numpy.stack([a**i for i in range(1, DEGREE_P + 1)] + [-r * a**i for i in range(1, DEGREE_Q + 1)], 1)
        norms = numpy.abs(columns * scale[:, None]).max(0)
        c = lawson(columns * scale[:, None] / norms, (r - 0.5) * scale) / norms
        p, q = numpy.r_[0.5, c[:DEGREE_P]], numpy.r_[1.0, c[DEGREE_P:]]
        q_previous = numpy.polynomial.polynomial.polyval(a, q)
    evaluate = numpy.polynomial.polynomial.polyval
    for name, pp, qq in (("exact", p, q), ("rounded to float", p.astype("f4"), q.astype("f4"))):
        error = evaluate(a, pp.astype(float)) / evaluate(a, qq.astype(float)) / r - 1
        print(f"/* R, coefficients {name}: relative error {abs(error).max():.2e} */")
    return p, q


def fit_exp():
    r = numpy.cos(numpy.linspace(0, numpy.pi, 2001)) * numpy.log(2) / 2 * 1.0005
    exact = numpy.exp(r)
    columns = numpy.stack([r ** (2 + i) for i in range(DEGREE_E + 1)], 1) / exact[:, None]
    e = lawson(columns, (exact - 1 - r) / exact)
    e4 = e.astype("f4").astype(float)
    error = (1 + r + r * r * numpy.polynomial.polynomial.polyval(r, e4)) / exact - 1
    print(f"/* exp, coefficients rounded to float: relative error {abs(error).max():.2e} */")
    return e


def show(name, value):
    value = float(numpy.float32(float(value)))
    mantissa, exponent = value.hex().split("p")
    text = f"{mantissa.rstrip('0').rstrip('.')}p{exponent}f"
    print(f"#define FFL_GELU_{name} {text if value > 0 else f'({text})'} /* {value:.9g} */")


def show_all(letter, values):
    for i, value in enumerate(values):
        show(f"{letter}{i}", value)


if __name__ == "__main__":
    print("/* Written by fit_gelu.py, which says what the terms are and how they were fitted. */")
    print("#ifndef FFL_KERNELS_SIMD_GELU_TERMS_H\n#define FFL_KERNELS_SIMD_GELU_TERMS_H\n")
    p, q = fit_ratio()
    show_all("P", p)
    show_all("Q", q)
    print()
    e = fit_exp()
    show_all("E", e)
    ln2 = mpmath.log(2)
    show("MINUS_HALF_LOG2E", -0.5 / ln2)
    show("MINUS_LN2", -ln2)
    show("MINUS_LN2_LOW", -(ln2 - mpmath.mpf(float(numpy.float32(float(ln2))))))
    print("\n/* The tanh form, z/(1 + exp(-t)), t = z*(T1 + T3*z*z): 2*sqrt(2/pi) and 0.044715 times that. */")
    twice = 2 * mpmath.sqrt(2 / mpmath.pi)
    show("T1", twice)
    show("T3", mpmath.mpf("0.044715") * twice)
    show("MINUS_LOG2E", -1 / ln2)
    print("\n#endif")
