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

// Cells passed over before each of `count` hits (a multiple of LANES), from hit number `from`.
TARGET static void gaps(const Stream &stream, double skip, int64_t from, int count, int32_t *out) {
    U x = ramp(1) + (stream.start + static_cast<uint64_t>(from) * WEYL);
    const U second = broadcast(stream.second);
    for (int i = 0; i < count; i += LANES) {
        const U word = finish(x, second);
        const D u = reinterpret_cast<D>((word >> 12) | ONE) - (1.0 - 0x1p-53);
        const I gap = __builtin_convertvector(minus_log(u) * skip, I);
        std::memcpy(out + i, &gap, sizeof gap);
        x += LANES * WEYL;
    }
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

// Sets the cells of a bank whose u' is below limit / 2^53. A word at a time would end each at a plane that
// nobody can predict, so a block of words takes a few planes together, and then those still open a few more.
TARGET static void set_common(const Stream &stream, uint64_t limit, int64_t first_cell, int64_t n_cells,
                              uint64_t *out) {
    if (limit == 0) return;
    alignas(64) uint64_t set[BLOCK + 1], undecided[BLOCK + 1], start[LANES], less[LANES], open[LANES];
    int place[BLOCK + 8];  // of words that are undecided
    const U second = broadcast(stream.second);
    const uint64_t bits = limit << (64 - PLANE_BITS);
    const int n_bits = 64 - __builtin_ctzll(bits);  // once they are used up nothing is less any more
    const int n_first = n_bits < FIRST_PLANES ? n_bits : FIRST_PLANES;
    const int64_t n_words = (n_cells + 63) / 64;
    Writer writer(first_cell, out);
    for (int64_t w = 0; w < n_words; w += BLOCK) {
        const uint64_t base = stream.start + static_cast<uint64_t>(w) * 64 * WEYL;
        const int n = static_cast<int>(n_words - w < BLOCK ? n_words - w : BLOCK);
        U x = ramp(64) + base;
        int n_open = 0;
        for (int i = 0; i < n; i += LANES) {
            U is_less = {}, is_open = ~U{};
            compare(x, second, bits, n_first, is_less, is_open);
            std::memcpy(set + i, &is_less, sizeof is_less);
            std::memcpy(undecided + i, &is_open, sizeof is_open);
            x += LANES * 64 * WEYL;
        }
        for (int i = 0; i < n; i++) {
            place[n_open] = i;
            n_open += undecided[i] != 0;
        }
        for (int done = n_first; done < n_bits && n_open;) {
            const int count = n_bits - done < MORE_PLANES ? n_bits - done : MORE_PLANES;
            for (int i = n_open; i < n_open + LANES - 1; i++) place[i] = BLOCK;  // a spare word
            int n_left = 0;
            for (int i = 0; i < n_open; i += LANES) {
                for (int k = 0; k < LANES; k++) {
                    start[k] = base + (static_cast<uint64_t>(place[i + k]) * 64 + static_cast<uint64_t>(done)) * WEYL;
                    less[k] = set[place[i + k]];
                    open[k] = undecided[place[i + k]];
                }
                U y, is_less, is_open;
                std::memcpy(&y, start, sizeof y);
                std::memcpy(&is_less, less, sizeof is_less);
                std::memcpy(&is_open, open, sizeof is_open);
                compare(y, second, bits << done, count, is_less, is_open);
                std::memcpy(less, &is_less, sizeof is_less);
                std::memcpy(open, &is_open, sizeof is_open);
                for (int k = 0; k < LANES && i + k < n_open; k++) {
                    const int at = place[i + k];
                    set[at] = less[k];
                    undecided[at] = open[k];
                    place[n_left] = at;
                    n_left += open[k] != 0;
                }
            }
            n_open = n_left;
            done += count;
        }
        if (w + n == n_words && n_cells % 64) set[n - 1] &= (uint64_t{1} << (n_cells % 64)) - 1;
        for (int i = 0; i < n; i++) writer.put(set[i]);
    }
    writer.finish();
}

// Hits with their marks, ascending.
TARGET static void list_hits(const Stream &gap_stream, const Stream &mark_stream, const Level &level, int64_t n_cells,
                             double limit, std::vector<Cell> &found) {
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
            const double u = level.mark(mark[i]);
            if (u < limit) found.push_back({cell, u});
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

// Cells whose u' is below limit / 2^53 with the u that belongs to it, ascending.
TARGET static void list_common(const Stream &stream, uint64_t limit, int64_t n_cells, std::vector<Cell> &found) {
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
                const int64_t cell = 64 * (w + i) + c;
                if (cell < n_cells) found.push_back({cell, common_value(whole[c][i])});
            }
        x += LANES * 64 * WEYL;
    }
}

}  // namespace ISA
