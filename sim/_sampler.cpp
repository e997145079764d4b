// SPDX-License-Identifier: Apache-2.0
//
// The cell field of cell_field.py, bit for bit: names, streams and formulas are explained there. A plain
// shared library for ctypes, and for the engine (_sampler.h).
//
// The work is proportional to the hits at low rates: geometric skips, a register of logarithms at a time.
// Above COMMON it is about ten random bits a cell: planes are compared with the limit MSB first, as long
// as a cell of the word is undecided.

#include "_sampler.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <iterator>
#include <new>
#include <numeric>
#include <vector>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the packed words are addressed by bytes: little-endian hosts only"
#endif
#if FLT_EVAL_METHOD != 0
#error "the field needs every operation rounded to double"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC diagnostic ignored "-Wpsabi"                // vectors are passed between functions of this file only
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own intrinsics (bug 105593)
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_X86 1
#endif

namespace {

constexpr int GAPS = 0, MARKS = 16, PLANES = 32, STREAM_BITS = 56, PLANE_BITS = 53;

constexpr uint64_t WEYL = 0x9E3779B97F4A7C15u, FIRST = 0x3C79AC492BA7B653u, SECOND = 0x1C69B3F74AC4AE35u;
constexpr uint64_t ONE = 0x3FF0000000000000u, SQRT_HALF = 0x3FE6A09E00000000u, TWO_52 = 0x4330000000000000u,
                   MANTISSA = 0x000FFFFFFFFFFFFFu;
constexpr double LN2 = 0.6931471805599453;
constexpr int N_SERIES = 6;
constexpr double SERIES[N_SERIES] = {0.0968132779733789, 0.11095700366762518, 0.1428587726871944,
                                     0.1999999939866506, 0.3333333333368755,  1.0};
constexpr int GROUP = 16;                           // hits are drawn in multiples of this many
constexpr int BATCH = 256;                          // hits at a time, at most
constexpr int BLOCK = 512;                          // words compared with planes at a time, a multiple of LANES
constexpr int FIRST_PLANES = 8, MORE_PLANES = 3;    // planes compared before words are sorted out

// 1 / m and log(m) in the middle of 16 parts of 1 <= m < 2, nearly: what is guessed from them is checked.
struct Logs {
    alignas(64) float inverse[16], log[16];
    Logs() {
        for (int i = 0; i < 16; i++) {
            inverse[i] = 32.0f / static_cast<float>(33 + 2 * i);
            log[i] = -std::log(inverse[i]);
        }
    }
};
const Logs LOGS;

struct Stream {
    uint64_t start, second;  // word i is finish(start + i * WEYL, second); a xorshift is linear
};

struct Cell {
    int64_t cell;
    double u;
};

// What u of a cell has to be below.
struct Limits {
    const double *of_run;
    int64_t run;  // cells with the same limit
    double highest, mean;  // of all limits

    bool admit(const Cell &cell) const { return cell.u < of_run[cell.cell / run]; }
};

inline Stream stream(StoicKey key, int number) {
    return {key.first + (static_cast<uint64_t>(number) << STREAM_BITS) * WEYL, key.second ^ (key.second >> 27)};
}

inline uint64_t draw(StoicKey key, uint64_t index) {
    uint64_t x = (index * WEYL + key.first) ^ key.second;
    x = (x ^ (x >> 27)) * FIRST;
    x = (x ^ (x >> 33)) * SECOND;
    return x ^ (x >> 27);
}

// Gaps to draw at once so that about `cells` cells are passed.
inline int batch(int64_t cells, double skip) {
    const double expected = static_cast<double>(cells) / skip;
    return expected > BATCH - GROUP ? BATCH : (static_cast<int>(expected) + GROUP) / GROUP * GROUP;
}

inline double from_bits(uint64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Hits whose marks are in [low, high): low (1 + m / 2^52), m < 2^52 or 2^51; below RARE, m / 2^66.
struct Level {
    double low, high, skip;

    int shift() const { return low == 0.0 ? 11 : high == 2 * low ? 12 : 13; }  // of the word that gives m
    double mark(uint64_t word) const {
        const uint64_t m = word >> shift();
        return low == 0.0 ? static_cast<double>(m) * 0x1p-53 * high : from_bits(m | ONE) * low;
    }
    uint64_t limit(double p) const {  // how many values of m give a mark below p, low < p < high
        if (low > 0.0) return static_cast<uint64_t>((p / low - 1.0) * 0x1p52);
        const double scaled = p / high * 0x1p53;  // exact, and perhaps with a fraction
        const uint64_t whole = static_cast<uint64_t>(scaled);
        return whole + (static_cast<double>(whole) < scaled);
    }
};

constexpr double COMMON = 1.5 * 0x1p-7;
constexpr int N_LEVELS = 8;
constexpr Level LEVELS[N_LEVELS] = {
    {0.0, 0x1p-13, 8191.499989826853},        {0x1p-13, 0x1p-12, 8190.499989825611},
    {0x1p-12, 0x1p-11, 4094.4999796474945},   {0x1p-11, 0x1p-10, 2046.499959280071},
    {0x1p-10, 0x1p-9, 1022.4999185004023},    {0x1p-9, 0x1p-8, 510.49983676130336},
    {0x1p-8, 0x1p-7, 254.49967256023928},     {0x1p-7, COMMON, 253.499671268561}};

inline double common_value(uint64_t whole) {
    return COMMON + (1.0 - COMMON) * (static_cast<double>(whole) * 0x1p-53);
}

// How many of the 2^53 values of u' give a u below p.
uint64_t common_limit(double p) {
    uint64_t low = 0, high = uint64_t{1} << PLANE_BITS;  // u(low - 1) < p <= u(high)
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (common_value(middle) < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#define ISA portable
#define TARGET
#define LANES 2
#include "_sampler_kernel.h"
#undef ISA
#undef TARGET
#undef LANES

#if HAS_X86
#define ISA avx2
#define TARGET __attribute__((target("avx2,bmi2")))
#define LANES 4
#include "_sampler_kernel.h"
#undef ISA
#undef TARGET
#undef LANES

#define ISA avx512
#define TARGET __attribute__((target("bmi2,avx512f,avx512bw,avx512dq,avx512vl")))
#define LANES 8
#include "_sampler_kernel.h"
#undef ISA
#undef TARGET
#undef LANES
#endif

struct Path {
    decltype(&portable::set_hits) set_hits;
    decltype(&portable::set_marked) set_marked;
    decltype(&portable::set_common) set_common;
    decltype(&portable::list_hits) list_hits;
    decltype(&portable::list_common) list_common;
};

#define PATH(isa) {isa::set_hits, isa::set_marked, isa::set_common, isa::list_hits, isa::list_common}
const Path PATHS[] = {PATH(portable),
#if HAS_X86
                      PATH(avx2), PATH(avx512)
#endif
};

void sample_plane(const Path &path, StoicKey key, const StoicBank &bank, double p, uint64_t limit, uint64_t *out) {
    const int64_t begin = bank.first_cell, end = begin + bank.n_cells;
    for (int i = 0; i < N_LEVELS; i++) {
        const Level &level = LEVELS[i];
        if (p <= level.low) return;
        if (p >= level.high)
            path.set_hits(stream(key, GAPS + i), level.skip, begin, end, out);
        else
            path.set_marked(stream(key, GAPS + i), stream(key, MARKS + i), level.shift(), level.limit(p),
                            level.skip, begin, end, out);
    }
    path.set_common(stream(key, PLANES), limit, begin, bank.n_cells, out);
}

// `rarer` and `other` in one ascending list; a cell in both keeps what `rarer` says.
std::vector<Cell> merged(const std::vector<Cell> &rarer, const std::vector<Cell> &other) {
    std::vector<Cell> both;
    both.reserve(rarer.size() + other.size());
    auto a = rarer.begin(), b = other.begin();
    while (a != rarer.end() && b != other.end()) {
        if (b->cell < a->cell) {
            both.push_back(*b++);
        } else {
            if (b->cell == a->cell) ++b;
            both.push_back(*a++);
        }
    }
    both.insert(both.end(), a, rarer.end());
    both.insert(both.end(), b, other.end());
    return both;
}

std::vector<Cell> sample_below(const Path &path, StoicKey key, int64_t n_cells, const Limits &limits) {
    std::vector<Cell> found;
    for (int i = 0; i < N_LEVELS; i++) {
        if (limits.highest <= LEVELS[i].low) return found;
        std::vector<Cell> hits;
        path.list_hits(stream(key, GAPS + i), stream(key, MARKS + i), LEVELS[i], n_cells, limits, hits);
        found = merged(found, hits);
    }
    std::vector<Cell> common;
    common.reserve(static_cast<size_t>(limits.mean * static_cast<double>(n_cells)) + 64);
    path.list_common(stream(key, PLANES), common_limit(limits.highest), n_cells, limits, common);
    return merged(found, common);
}

}  // namespace

extern "C" {

int stoic_sampler_supports(int path) {
    switch (path) {
        case 0:
            return 1;
#if HAS_X86
        case 1:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
        case 2:
            return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl");
#endif
        default:
            return 0;
    }
}

int stoic_sampler_best() { return stoic_sampler_supports(2) ? 2 : stoic_sampler_supports(1) ? 1 : 0; }

StoicKey stoic_join(StoicKey root, StoicKey name) {
    const uint64_t x = draw(root, name.first);
    const uint64_t y = draw(root, name.second ^ x);
    return {y, draw(root, x ^ y)};
}

void stoic_sample_planes(int path, const StoicKey *root, const StoicBanks *banks, double p, uint64_t *out,
                         int64_t n_words) {
    std::memset(out, 0, static_cast<size_t>(n_words) * sizeof *out);
    if (!(p > 0.0)) return;
    const uint64_t limit = common_limit(p);
    for (const StoicBank *bank = banks->banks; bank != banks->banks + banks->n_banks; bank++)
        sample_plane(PATHS[path], root ? stoic_join(*root, bank->name) : bank->name, *bank, p, limit, out);
    for (const StoicPad *pad = banks->pads; pad != banks->pads + banks->n_pads; pad++) out[pad->word] &= pad->kept;
}

int64_t stoic_sample_below(int path, StoicKey key, int64_t n_cells, const double *limits, int64_t run,
                           int64_t *cells, double *u, int64_t room) {
    try {
        const int64_t n_runs = (n_cells + run - 1) / run;
        if (!n_runs) return 0;
        const double highest = *std::max_element(limits, limits + n_runs);
        const double mean = std::accumulate(limits, limits + n_runs, 0.0) / static_cast<double>(n_runs);
        const Limits all{limits, run, highest, mean};
        const std::vector<Cell> found = sample_below(PATHS[path], key, n_cells, all);
        const int64_t n = static_cast<int64_t>(found.size());
        for (int64_t i = 0; n <= room && i < n; i++) {
            cells[i] = found[static_cast<size_t>(i)].cell;
            u[i] = found[static_cast<size_t>(i)].u;
        }
        return n;
    } catch (const std::bad_alloc &) {
        return -1;
    }
}
}
