"""Numbers of operations outside of the CUSTOM family, in both generations.

Source: the lists of ``include/loops/legacy_ops.h`` and ``include/op_enums.h`` of libnd4j; derivatives, which no
inference needs, are left out.
"""

from __future__ import annotations

from typing import Final

from navi_graphserver.flat.enums import Generation

__all__ = ["CONTROL", "LEGACY_NAMES", "legacy_name"]

CONTROL: Final = {
    0: "while",
    10: "scope",
    20: "conditional",
    30: "switch",
    40: "return",
    50: "expose",
    60: "merge",
    70: "loop_cond",
    80: "next_iteration",
    90: "exit",
    100: "enter",
}
"""LOGIC's numbers; the same in both generations."""


def _numbered(text: str) -> dict[int, str]:
    words = text.split()
    return {int(number): name for number, name in zip(words[::2], words[1::2], strict=True)}


_STRICT = _numbered(
    "19 stabilize 22 cos 23 exp 24 log 26 sigmoid 27 sin 28 softplus 29 tanh 30 acos 31 asin 32 atan 33 hardtanh"
    " 34 softsign 36 hardsigmoid 37 rationaltanh 38 rectifiedtanh 39 sinh 40 cosh 41 tan 42 selu 43 swish 44 log1p"
    " 45 erf 46 acosh 47 asinh 48 rint 49 logsigmoid 50 erfc 51 expm1 52 atanh 53 gelu 55 precise_gelu 57 mish"
)
_COMPARE = _numbered(
    "0 equals 1 greater 2 less 3 epsilon_equals 4 greater_equal 5 match_condition 6 not_equals 7 boolean_and"
    " 8 boolean_or 9 boolean_xor 11 less_equal"
)
_INDEX = _numbered("0 argmax 1 argmin 2 argamax 3 argamin 4 first_index 5 last_index")
_DISTANCE = _numbered(
    "0 manhattan 1 euclidean 2 cosine_similarity 3 reduce_dot 4 equals_with_eps 5 cosine_distance 6 jaccard 7 hamming"
)
_SUMMARY = _numbered("0 variance 1 stdev")
_RANDOM = _numbered(
    "0 random_uniform 1 dropout 2 dropout 3 probabilistic_merge 4 random_linspace 5 random_choice 6 random_gaussian"
    " 7 random_bernoulli 8 random_binomial 9 random_binomial_ex 10 random_lognormal 11 random_truncated_normal"
    " 12 dropout 13 random_exponential 14 random_exponential_inv 15 random_poisson 16 random_gamma"
)
LEGACY_NAMES: Final = {
    Generation.GEN2: {
        "TRANSFORM_FLOAT": _numbered("1 sqrt 3 rsqrt"),
        "TRANSFORM_SAME": _numbered(
            "0 abs 1 sign 2 ones 3 neg 4 round 5 times_one_minus 6 cube 7 one_minus 11 reciprocal 12 square"
            " 13 compare_and_set 15 identity 17 ceil 18 floor 19 clipbyvalue 21 identity"
        ),
        "TRANSFORM_ANY": _numbered("0 assign"),
        "TRANSFORM_BOOL": _numbered(
            "1 isinf 2 isnan 3 isfinite 4 isinf_or_nan 5 match_condition 6 is_positive 7 not 8 is_negative"
        ),
        "TRANSFORM_STRICT": _STRICT,
        "SCALAR": _numbered(
            "0 add 1 subtract 2 multiply 3 divide 4 reversedivide 5 reversesubtract 6 maximum 7 elu 13 minimum"
            " 14 copy_second 15 mod 16 reversemod 17 remainder 18 fmod 19 truncatediv 20 floordiv 21 floormod"
            " 22 squaredsubtract 23 safe_divide 24 amax 25 amin 26 tf_atan2 27 boolean_or 28 boolean_xor 29 not"
            " 30 boolean_and 31 pow 33 compare_and_set 35 lrelu 37 replace_nans 38 log_x 39 relu 40 relu6 41 step"
            " 42 lstm_clip 43 mod 44 squared_reverse_subtract 45 reverse_pow 46 divide_no_nan 47 igamma 48 igammac"
        ),
        "SCALAR_BOOL": _COMPARE,
        "PAIRWISE_BOOL": _COMPARE,
        "BROADCAST_BOOL": _COMPARE,
        "PAIRWISE": _numbered(
            "0 add 1 copy_second 2 divide 3 multiply 4 pow 5 reversesubtract 6 subtract 7 maximum 8 minimum 9 copy_second"
            " 10 axpy 11 reversedivide 12 compare_and_set 13 compare_and_replace 14 remainder 15 fmod 16 tf_atan2"
            " 17 truncatediv 18 floordiv 19 floormod 20 squaredsubtract 21 reversemod 22 safe_divide 23 mod"
            " 24 relative_error 27 boolean_or 28 boolean_xor 29 not 30 boolean_and 34 amax 35 amin 36 mod"
            " 37 replace_nans 38 divide_no_nan 39 igamma 40 igammac"
        ),
        "BROADCAST": _numbered(
            "0 add 1 subtract 2 multiply 3 divide 4 reversedivide 5 reversesubtract 6 copy_second 7 pow 13 minimum"
            " 14 maximum 15 amin 16 amax 17 squaredsubtract 18 floormod 19 floordiv 20 reversemod 21 safe_divide 22 mod"
            " 23 truncatediv 26 tf_atan2 27 boolean_or 28 boolean_xor 29 not 30 boolean_and 31 divide_no_nan 32 igamma"
            " 33 igammac"
        ),
        "REDUCE_FLOAT": _numbered(
            "0 reduce_mean 1 amean 2 reduce_norm1 3 reduce_norm2 4 reduce_norm_max 5 reduce_norm2 6 norm_p"
            " 7 reduce_sqnorm 8 entropy 9 log_entropy 10 shannon_entropy"
        ),
        "REDUCE_SAME": _numbered(
            "0 reduce_sum 1 reduce_max 2 reduce_min 3 reduce_prod 4 asum 5 reduce_amax 6 reduce_amin"
        ),
        "REDUCE_LONG": _numbered("0 count_non_zero 1 count_zero 2 match_condition"),
        "REDUCE_BOOL": _numbered(
            "0 any 1 all 2 all_finite 3 any_inf_or_nan 4 any_nan 5 any_inf 6 all_positive 7 all_negative"
        ),
        "REDUCE_3": _DISTANCE,
        "SUMMARYSTATS": _SUMMARY,
        "INDEX_REDUCE": _INDEX,
        "RANDOM": _RANDOM,
    },
    Generation.GEN1: {
        "TRANSFORM": _numbered(
            "0 abs 1 ceil 2 cos 3 exp 4 floor 5 log 6 neg 7 pow 8 round 10 sigmoid 11 sign 12 sin 13 softplus 14 sqrt"
            " 15 tanh 16 acos 17 asin 18 atan 19 hardtanh 20 softsign 21 elu 26 ones 27 identity 28 stabilize"
            " 31 lrelu 33 relu 34 step 35 one_minus 36 col2im 37 im2col 38 softmax 40 log_softmax 41 ismax 43 dropout"
            " 44 dropout 46 replace_nans 49 cube 51 hardsigmoid 53 rationaltanh 55 log_x 59 not 61 rectifiedtanh"
            " 63 sinh 64 cosh 65 tan 67 selu 70 reverse 73 clipbyvalue 74 swish 76 rsqrt 77 log1p 78 erf 79 isinf"
            " 80 isnan 81 isfinite 82 acosh 84 asinh 87 rint 88 logsigmoid 90 erfc 91 expm1 93 atanh 94 reciprocal"
            " 95 square 96 relu6"
        ),
        "ACCUMULATION": _numbered(
            "0 reduce_mean 1 reduce_sum 3 reduce_max 4 reduce_min 5 reduce_norm1 6 reduce_norm2 7 reduce_norm_max"
            " 8 reduce_prod 9 stdev 10 variance 11 asum 12 match_condition 13 reduce_amax 14 reduce_amin 15 amean"
            " 16 entropy 17 log_entropy 18 shannon_entropy 19 reduce_logsumexp 20 any 21 all 22 count_non_zero"
            " 23 reduce_norm2 24 norm_p 25 reduce_sqnorm 26 count_zero"
        ),
        "PAIRWISE": _numbered(
            "0 add 1 copy_second 2 divide 3 equals 4 greater 5 less 6 multiply 7 pow 8 reversesubtract 9 subtract"
            " 10 epsilon_equals 11 greater_equal 12 less_equal 13 maximum 14 minimum 15 not_equals 16 copy_second 17 axpy"
            " 18 reversedivide 19 truncatediv 20 floordiv 21 floormod 22 squaredsubtract 23 reversemod 24 safe_divide"
            " 25 mod 45 compare_and_set 46 compare_and_replace 56 boolean_and 57 boolean_or 58 boolean_xor 59 remainder"
            " 60 fmod 69 tf_atan2"
        ),
        "SCALAR": _numbered(
            "0 add 1 subtract 2 multiply 3 divide 4 reversedivide 5 reversesubtract 6 maximum 7 less 8 greater 9 equals"
            " 10 less_equal 11 not_equals 12 minimum 13 copy_second 14 mod 15 reversemod 16 greater_equal 17 remainder"
            " 18 fmod 19 truncatediv 20 floordiv 21 floormod 22 squaredsubtract 23 safe_divide"
        ),
        "BROADCAST": _numbered(
            "0 add 1 subtract 2 multiply 3 divide 4 reversedivide 5 reversesubtract 6 copy_second 7 equals 8 greater"
            " 9 greater_equal 10 less 11 less_equal 12 not_equals 13 minimum 14 maximum 15 amin 16 amax"
            " 17 squaredsubtract 18 floormod 19 floordiv 20 reversemod 21 safe_divide 22 mod 23 truncatediv"
        ),
        "INDEX_ACCUMULATION": _INDEX,
        "ACCUMULATION3": _DISTANCE,
        "SUMMARYSTATS": _SUMMARY,
        "RANDOM": _RANDOM,
    },
}


def legacy_name(generation: Generation, family: str, number: int) -> str | None:
    """Return the name of an operation by its family's number; None: there is none that runs forward."""
    return LEGACY_NAMES[generation].get(family, {}).get(number)
