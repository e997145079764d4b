// SPDX-License-Identifier: Apache-2.0
//
// The loops of _sampler.cpp, included there once for each instruction set with
//     ISA       namespace
//     TARGET    function attribute, on every function here
//     LANES     64-bit numbers in a register
// Vectors are those of the compiler, so each path does the same operations in the same order. Floating
// point must not be contracted (-ffp-contract=off): a fused multiply-add rounds once where two are meant.

namespace ISA {

typedef uint64_t U __attribute__((vector_size(8 * LANES)));
typedef double D __attribute__((vector_size(8 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));

TARGET static inline U broadcast(uint64_t value) { return U{} + value; }

// WEYL times 0 .. LANES-1 times `stride`.
TARGET static inline U ramp(uint64_t stride) {
    U steps = {};
    for (int i = 0; i < LANES; i++) steps[i] = static_cast<uint64_t>(i) * stride * WEYL;
    return steps;
}

// x ^ second through the finaliser, of which `second` has its first shift behind it: see `stream`.
TARGET static inline U finish(U x, U second) {
    x = (x ^ (x >> 27) ^ second) * FIRST;
    x = (x ^ (x >> 33)) * SECOND;
    return x ^ (x >> 27);
}

// -log of odd multiples of 2^-53: see `minus_log` in cell_field.py.
TARGET static inline D minus_log(D u) {
    const U bits = reinterpret_cast<U>(u) + (ONE - SQRT_HALF);
    const D exponent = reinterpret_cast<D>((bits >> 52) | TWO_52) - (0x1p52 + 1023.0);
    const D m = reinterpret_cast<D>((bits & MANTISSA) + SQRT_HALF);
    const D f = m - 1.0;
    const D s = f / (f + 2.0);
    const D z = s * s;
    D series = D{} + SERIES[0];
    for (int i = 1; i < N_SERIES; i++) series = series * z + SERIES[i];
    return -(exponent * LN2 + (s + s) * series);
}

TARGET static void words(const Stream &stream, int64_t from, int count, uint64_t *out) {
    U x = ramp(1) + (stream.start + static_cast<uint64_t>(from) * WEYL);
    const U second = broadcast(stream.second);
    for (int i = 0; i < count; i += LANES) {
        const U word = finish(x, second);
        std::memcpy(out + i, &word, sizeof word);
        x += LANES * WEYL;
    }
}

// Cells passed over before each of `count` hits, from the words that are drawn for them.
TARGET static inline void exact_gaps(const uint64_t *word, double skip, int count, int32_t *out) {
    for (int i = 0; i < count; i += LANES) {
        U x;
        std::memcpy(&x, word + i, sizeof x);
        const D u = reinterpret_cast<D>((x >> 12) | ONE) - (1.0 - 0x1p-53);
        const I gap = __builtin_convertvector(minus_log(u) * skip, I);
        std::memcpy(out + i, &gap, sizeof gap);
    }
}

#if LANES == 8
// The same of 16 hits in single precision; false where a gap is so near to a whole number that it may be wrong.
// It is off by less than 2.1e-7 (gap + skip): roundings of 2^-24 of u, of the table and of four operations.
TARGET static inline bool guess_gaps(const uint64_t *word, double skip, int32_t *out) {
    const __m512i one = _mm512_set1_epi64(1);  // u = (word >> 11 | 1) 2^-53
    const __m256 low = _mm512_cvtepi64_ps(_mm512_or_si512(_mm512_srli_epi64(_mm512_load_si512(word), 11), one));
    const __m256 high = _mm512_cvtepi64_ps(_mm512_or_si512(_mm512_srli_epi64(_mm512_load_si512(word + 8), 11), one));
    const __m512 u = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
    const __m512 m = _mm512_getmant_ps(u, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    const __m512i part = _mm512_srli_epi32(_mm512_castps_si512(m), 19);  // its low 4 bits count
    const __m512 r = _mm512_fmsub_ps(m, _mm512_permutexvar_ps(part, _mm512_load_ps(LOGS.inverse)), _mm512_set1_ps(1));
    __m512 log = _mm512_set1_ps(-1.0f / 4);
    for (const float term : {1.0f / 3, -1.0f / 2, 1.0f}) log = _mm512_fmadd_ps(log, r, _mm512_set1_ps(term));
    log = _mm512_fmadd_ps(log, r, _mm512_permutexvar_ps(part, _mm512_load_ps(LOGS.log)));
    const __m512 exponent = _mm512_sub_ps(_mm512_getexp_ps(u), _mm512_set1_ps(PLANE_BITS));
    log = _mm512_fmadd_ps(exponent, _mm512_set1_ps(static_cast<float>(LN2)), log);
    const __m512 all = _mm512_set1_ps(static_cast<float>(-skip)), gap = _mm512_mul_ps(log, all);
    const __m512i whole = _mm512_cvttps_epi32(gap);
    const __m512 rest = _mm512_sub_ps(gap, _mm512_cvtepi32_ps(whole));
    const __m512 doubt = _mm512_mul_ps(_mm512_sub_ps(gap, all), _mm512_set1_ps(0x1p-20f));
    _mm512_storeu_si512(out, whole);
    return _mm512_cmp_ps_mask(rest, doubt, _CMP_GT_OQ) == 0xffff &&
           _mm512_cmp_ps_mask(_mm512_add_ps(rest, doubt), _mm512_set1_ps(1), _CMP_LT_OQ) == 0xffff;
}
#endif

// Gaps of `count` hits (a multiple of GROUP), from hit number `from`. Words come first: of one long chain of
// operations a processor has too few under way at once.
TARGET static void gaps(const Stream &stream, double skip, int64_t from, int count, int32_t *out) {
    alignas(64) uint64_t word[BATCH];
    words(stream, from, count, word);
#if LANES == 8
    for (int i = 0; i < count; i += GROUP)
        if (!guess_gaps(word + i, skip, out + i)) exact_gaps(word + i, skip, GROUP, out + i);
#else
    exact_gaps(word, skip, count, out);
#endif
}

// Sets what is hit of the cells `begin` .. `end`-1 of `out`.
TARGET static void set_hits(const Stream &gap_stream, double skip, int64_t begin, int64_t end, uint64_t *out) {
    alignas(64) int32_t gap[BATCH];
    int64_t cell = begin - 1;
    for (int64_t from = 0;;) {
        const int count = batch(end - cell, skip);
        gaps(gap_stream, skip, from, count, gap);
        for (int i = 0; i < count; i++) {
            cell += gap[i] + 1;
            if (cell >= end) return;
            out[cell >> 6] |= uint64_t{1} << (cell & 63);
        }
        from += count;
    }
}

// As set_hits, but only hits whose mark, without its `shift` low bits, is below `limit`.
TARGET static void set_marked(const Stream &gap_stream, const Stream &mark_stream, int shift, uint64_t limit,
                              double skip, int64_t begin, int64_t end, uint64_t *out) {
    alignas(64) int32_t gap[BATCH];
    alignas(64) uint64_t mark[BATCH];
    int64_t cell = begin - 1;
    for (int64_t from = 0;;) {
        const int count = batch(end - cell, skip);
        gaps(gap_stream, skip, from, count, gap);
        words(mark_stream, from, count, mark);
        for (int i = 0; i < count; i++) {
            cell += gap[i] + 1;
            if (cell >= end) return;
            out[cell >> 6] |= uint64_t{(mark[i] >> shift) < limit} << (cell & 63);
        }
        from += count;
    }
}

// Compares `count` planes, of which the first is made of x, with as many high bits of `limit`.
TARGET static inline void compare(U x, U second, uint64_t limit, int count, U &is_less, U &open) {
#pragma GCC unroll 4
    for (int j = 0; j < count; j++, limit <<= 1, x += WEYL) {
        const U plane = finish(x, second);
        if (limit >> 63) {
            is_less |= open & ~plane;
            open &= plane;
        } else {
            open &= ~plane;
        }
    }
}

// Puts the lanes in which something is open one after the other, with their places; returns how many.
TARGET static inline int keep_open(U place, U open, uint64_t *places, uint64_t *opens) {
#if LANES == 8
    const auto all = reinterpret_cast<__m512i>(open), at = reinterpret_cast<__m512i>(place);
    const __mmask8 kept = _mm512_test_epi64_mask(all, all);
    _mm512_storeu_si512(places, _mm512_maskz_compress_epi64(kept, at));
    _mm512_storeu_si512(opens, _mm512_maskz_compress_epi64(kept, all));
    return __builtin_popcount(kept);
#else
    int n = 0;
    for (int k = 0; k < LANES; k++) {
        places[n] = place[k];
        opens[n] = open[k];
        n += open[k] != 0;
    }
    return n;
#endif
}

// Finds the cells with u' below limit / 2^53 in n <= BLOCK words, from word `from` of a bank on. A word at a time
// would end each at a plane that nobody can predict, so all take a few planes together, and then those still open
// a few more.
TARGET static void find_common(const Stream &stream, uint64_t limit, int64_t from, int n, uint64_t *set) {
    alignas(64) uint64_t open[BLOCK + LANES], place[BLOCK + LANES], less[LANES];
    const U second = broadcast(stream.second);
    const uint64_t base = stream.start + static_cast<uint64_t>(from) * 64 * WEYL;
    const uint64_t bits = limit << (64 - PLANE_BITS);
    const int n_bits = 64 - __builtin_ctzll(bits);  // once they are used up nothing is less any more
    const int n_first = n_bits < FIRST_PLANES ? n_bits : FIRST_PLANES;
    U x = ramp(64) + base, at = {};
    for (int i = 0; i < n; i += LANES, x += LANES * 64 * WEYL) {
        U is_less = {}, is_open = ~U{};
        compare(x, second, bits, n_first, is_less, is_open);
        std::memcpy(set + i, &is_less, sizeof is_less);
        std::memcpy(open + i, &is_open, sizeof is_open);
    }
    int n_open = 0;
    for (int k = 0; k < LANES; k++) at[k] = static_cast<uint64_t>(k);
    for (int i = 0; i < n; i += LANES, at += LANES) {
        U is_open;
        std::memcpy(&is_open, open + i, sizeof is_open);
        n_open += keep_open(at, is_open, place + n_open, open + n_open);
    }
    for (int done = n_first, n_left; done < n_bits && n_open; done += MORE_PLANES, n_open = n_left) {
        const int count = n_bits - done < MORE_PLANES ? n_bits - done : MORE_PLANES;
        std::memset(open + n_open, 0, sizeof less);
        n_left = 0;
        for (int i = 0; i < n_open; i += LANES) {
            U is_less = {}, is_open;
            std::memcpy(&at, place + i, sizeof at);
            std::memcpy(&is_open, open + i, sizeof is_open);
            const U first = (at * 64 + static_cast<uint64_t>(done)) * WEYL + base;
            compare(first, second, bits << done, count, is_less, is_open);
            std::memcpy(less, &is_less, sizeof is_less);
            for (int k = 0; k < LANES && i + k < n_open; k++) set[place[i + k]] |= less[k];
            n_left += keep_open(at, is_open, place + n_left, open + n_left);
        }
    }
}

// Sets the cells of a bank with u' below limit / 2^53.
TARGET static void set_common(const Stream &stream, uint64_t limit, int64_t first_cell, int64_t n_cells,
                              uint64_t *out) {
    if (limit == 0) return;
    alignas(64) uint64_t room[8 + BLOCK] = {};
    uint64_t *set = room + 8;  // after the last word of the block before
    const int64_t n_words = (n_cells + 63) / 64;
    const int shift = static_cast<int>(first_cell & 63);
    out += first_cell >> 6;
    for (int64_t w = 0; w < n_words; w += BLOCK, out += BLOCK) {
        const int n = static_cast<int>(n_words - w < BLOCK ? n_words - w : BLOCK);
        if (limit >> PLANE_BITS)
            std::memset(set, 0xff, BLOCK * sizeof *set);
        else
            find_common(stream, limit, w, n, set);
        if (64 * (w + n) > n_cells) set[n - 1] &= (uint64_t{1} << (n_cells & 63)) - 1;
        for (int i = 0; i < n; i++) out[i] |= set[i] << shift | set[i - 1] >> 1 >> (63 - shift);
        set[-1] = set[n - 1];
        if (w + n == n_words && set[-1] >> 1 >> (63 - shift)) out[n] |= set[-1] >> 1 >> (63 - shift);
    }
}

// Hits with their marks, ascending.
TARGET static void list_hits(const Stream &gap_stream, const Stream &mark_stream, const Level &level, int64_t n_cells,
                             const Limits &limits, std::vector<Cell> &found) {
    alignas(64) int32_t gap[BATCH];
    alignas(64) uint64_t mark[BATCH];
    int64_t cell = -1;
    for (int64_t from = 0;;) {
        const int count = batch(n_cells - cell, level.skip);
        gaps(gap_stream, level.skip, from, count, gap);
        words(mark_stream, from, count, mark);
        for (int i = 0; i < count; i++) {
            cell += gap[i] + 1;
            if (cell >= n_cells) return;
            const Cell hit{cell, level.mark(mark[i])};
            if (limits.admit(hit)) found.push_back(hit);
        }
        from += count;
    }
}

// Bit c of row r becomes bit r of row c, in every lane.
TARGET static inline void transpose(U *rows) {
    uint64_t half = 0x00000000FFFFFFFFu;
    for (int j = 32; j; j >>= 1, half ^= half << j)
        for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
            const U swap = ((rows[k] >> j) ^ rows[k | j]) & half;
            rows[k] ^= swap << j;
            rows[k | j] ^= swap;
        }
}

// Cells whose u' is below limit / 2^53 with the u that belongs to it, if that is admitted, ascending.
TARGET static void list_common(const Stream &stream, uint64_t limit, int64_t n_cells, const Limits &limits,
                               std::vector<Cell> &found) {
    if (limit == 0) return;
    U x = ramp(64) + stream.start;
    const U second = broadcast(stream.second);
    for (int64_t w = 0; w < (n_cells + 63) / 64; w += LANES) {
        U rows[64] = {}, y = x;  // bits of u' of LANES words, LSB first; transposed: u' of 64 cells of each
        U is_less = broadcast(limit >> PLANE_BITS ? ~uint64_t{0} : 0), open = ~is_less;
        for (int j = PLANE_BITS - 1; j >= 0; j--, y += WEYL) {
            rows[j] = finish(y, second);
            if (limit >> j & 1) {
                is_less |= open & ~rows[j];
                open &= rows[j];
            } else {
                open &= ~rows[j];
            }
        }
        transpose(rows);
        uint64_t whole[64][LANES], less[LANES];
        std::memcpy(whole, rows, sizeof whole);
        std::memcpy(less, &is_less, sizeof less);
        for (int i = 0; i < LANES; i++)
            for (uint64_t left = less[i]; left; left &= left - 1) {
                const int c = __builtin_ctzll(left);
                const Cell one{64 * (w + i) + c, common_value(whole[c][i])};
                if (one.cell < n_cells && limits.admit(one)) found.push_back(one);
            }
        x += LANES * 64 * WEYL;
    }
}

}  // namespace ISA
