// SPDX-License-Identifier: Apache-2.0
//
// Packed XNOR-popcount inference, bit for bit equal to sim/golden.py. A plain shared library for ctypes.
//
//     on bits:   D = popcount(x ^ w) = n - P;   fires where D < limit = n + 1 - theta;   score = n - 2D
//     on uint8:  s = sum w_i u_i, w_i = +-1;    fires where s >= limit = theta;          score = s
//
// Images go through the network in blocks small enough for the core's own caches, eight to a tile (see
// _engine.h). Each instruction set is compiled by function attributes and chosen by the caller at run time.

#include <algorithm>
#include <atomic>
#include <ctime>
#include <functional>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "_engine.h"
#include "_engine_inject.h"
#include "_engine_kernels.h"
#include "_engine_maps.h"
#include "_sampler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the packed words are addressed by bytes: little-endian hosts only"
#endif

namespace {

constexpr int64_t BLOCK = 128;              // images in a block, at most
constexpr int64_t BLOCK_BYTES = 512 << 10;  // of its maps

// A chain of layers, and from where to where it is run.
struct Chain {  // mirrored by `_Chain` in engine_layers.py
    const Layer *layers;
    int64_t n_layers;
    const uint8_t *levels;  // of the thermometer
    int64_t n_levels;
    int64_t from;           // first layer that is run
    const Line *given;      // [n_tiles][its lines] what that layer is given; null: made of the images
    int64_t keep;           // what this layer is given is kept in `kept`, from <= keep; when not null
    Line *kept;             // [n_tiles][its lines], zeroed
    int64_t adds;           // whether scores are added to those there

    int64_t n_elements() const {  // of an image
        const Layer &first = layers[0];
        const int64_t lanes = first.is_conv() ? first.height * first.width * first.channels : first.n_inputs;
        return n_levels ? lanes / n_levels : lanes;
    }
};

// What this thread has had of a processor: on a busy machine its neighbours do not count.
double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Eight images a tile; bits are packed, pixels are taken as they are. Lanes of padding and past the last are
// 0; images past the last hold what was there before, and nobody looks at their scores.
template <class Path>
void interleave(const Chain &chain, const uint8_t *images, int64_t n, Line *maps) {
    const Layer &first = chain.layers[0];
    const int64_t n_levels = chain.n_levels ? chain.n_levels : 1, row_lines = first.row_lines();
    const int64_t rows = first.is_conv() ? first.height : 1;
    const int64_t lead = first.is_conv() ? first.pad * first.channels : 0;
    const int64_t n_lanes = first.is_conv() ? first.width * first.channels : first.n_inputs;
    const int64_t lanes = first.is_uint8 ? 8 : 64;
    std::vector<uint8_t> padded(static_cast<size_t>(row_lines * lanes));
    for (int64_t m = 0; m < n; m++)
        for (int64_t y = 0; y < rows; y++, images += n_lanes / n_levels) {
            Line *line = maps + m / TILE * first.n_lines() + (y + (first.is_conv() ? first.pad : 0)) * row_lines;
            const bool is_direct = !lead && !chain.n_levels;
            if (chain.n_levels)
                for (int64_t i = 0; i < n_lanes; i++)
                    padded[static_cast<size_t>(lead + i)] = images[i / n_levels] >= chain.levels[i % n_levels];
            else if (!is_direct)
                std::memcpy(padded.data() + lead, images, static_cast<size_t>(n_lanes));
            for (int64_t k = 0; k < row_lines; k++) {
                const uint8_t *from = (is_direct ? images : padded.data()) + k * lanes;
                uint8_t tail[64] = {};
                const int64_t left = n_lanes - k * lanes;
                if (is_direct && left < lanes) {
                    std::memcpy(tail, from, static_cast<size_t>(left));
                    from = tail;
                }
                uint64_t &word = line[k].word[m % TILE];
                if (first.is_uint8)
                    std::memcpy(&word, from, 8);
                else
                    word = Path::pack(from);
            }
        }
}

// A thread's room for a chain: the map that each layer is given, and scratch. Maps are zeroed once; what
// padding there is is never written.
struct Room {
    std::vector<std::vector<Line>> maps;
    std::vector<Windows> windows;
    std::vector<Line> seen, fired;
    std::vector<int32_t> sums;

    Room(const Chain &chain, int64_t max_tiles) {
        int64_t n_seen = 0, n_fired = 0;
        for (int64_t i = 0; i < chain.n_layers; i++) {
            const Layer &layer = chain.layers[i];
            const bool is_needed = i > chain.from || !chain.given;
            maps.emplace_back(is_needed ? static_cast<size_t>(max_tiles * layer.n_lines()) : 0);
            windows.emplace_back(layer);
            if (!layer.is_conv()) continue;
            n_seen = std::max(n_seen, layer.columns() * layer.n_words());
            n_fired = std::max(n_fired, layer.rows() * layer.columns() * layer.n_fired_words());
        }
        seen.resize(static_cast<size_t>(n_seen));
        fired.resize(static_cast<size_t>(n_fired));
        const Layer &last = chain.layers[chain.n_layers - 1];
        sums.resize(static_cast<size_t>(max_tiles * TILE * last.n_panels() * last.panel()));
    }
};

template <class Path>
void convolve(const Layer &layer, const Layer &next, const Windows &windows, const Line *x, int64_t n_tiles,
              Room &room, Line *maps) {
    const int64_t row = layer.columns() * layer.n_fired_words();
    std::fill(room.fired.begin(), room.fired.end(), Line{});  // past the panels
    for (int64_t t = 0; t < n_tiles; t++, x += layer.n_lines(), maps += next.n_lines()) {
        for (int64_t y = 0; y < layer.rows(); y++) {
            Path::gather(windows, x + y * layer.stride * layer.row_lines(), layer.n_words(), room.seen.data());
            const Work work{room.seen.data(), layer.columns(), room.fired.data() + y * row, nullptr};
            if (layer.is_uint8)
                Path::bytes(layer, work);
            else
                Path::bits(layer, work);
        }
        std::memset(static_cast<void *>(maps), 0, static_cast<size_t>(next.n_lines()) * sizeof(Line));
        Path::merge(layer, next, room.fired.data(), maps);
    }
}

// n images from number `start` on; `start` is a multiple of a tile.
template <class Path>
void run_block(const Chain &chain, Room &room, const uint8_t *images, int64_t start, int64_t n,
               int32_t *scores, double *layer_seconds) {
    const int64_t n_tiles = (n + TILE - 1) / TILE, tile = start / TILE;
    const Layer &last = chain.layers[chain.n_layers - 1];
    auto given = [&](int64_t i) {
        if (chain.kept && i == chain.keep) return chain.kept + tile * chain.layers[i].n_lines();
        return room.maps[static_cast<size_t>(i)].data();
    };
    const Line *x = chain.given ? chain.given + tile * chain.layers[chain.from].n_lines() : given(0);
    if (!chain.given) interleave<Path>(chain, images, n, given(0));
    for (int64_t i = chain.from; i < chain.n_layers; i++) {
        const Layer &layer = chain.layers[i];
        const bool is_last = i + 1 == chain.n_layers;
        Line *next = is_last ? nullptr : given(i + 1);
        const double begin = layer_seconds ? cpu_seconds() : 0;
        const Work work{x, n_tiles, next, is_last ? room.sums.data() : nullptr};
        if (layer.is_conv())
            convolve<Path>(layer, chain.layers[i + 1], room.windows[static_cast<size_t>(i)], x, n_tiles, room, next);
        else if (layer.is_uint8)
            Path::bytes(layer, work);
        else
            Path::bits(layer, work);
        if (layer_seconds) layer_seconds[i] += cpu_seconds() - begin;
        x = next;
    }
    const int64_t row_length = last.n_panels() * last.panel();
    for (int64_t m = 0; m < n; m++)
        for (int64_t c = 0; c < last.n_outputs; c++) {
            int32_t &score = scores[m * last.n_outputs + c];
            score = (chain.adds ? score : 0) + room.sums[static_cast<size_t>(m * row_length + c)];
        }
}

struct Run {
    const Chain &chain;
    const uint8_t *images;
    int64_t n_images;
    int32_t *scores;
    double *layer_seconds;  // null, or CPU time of each layer, added over the blocks
    int64_t block;
    std::atomic<int64_t> next{0};
    std::atomic<bool> has_failed{false};
};

template <class Path>
void work_off(Run &run) try {
    const Layer &last = run.chain.layers[run.chain.n_layers - 1];
    const int64_t n_elements = run.chain.n_elements();
    Room room(run.chain, run.block / TILE);
    for (int64_t start; (start = run.next.fetch_add(run.block)) < run.n_images;)
        run_block<Path>(run.chain, room, run.images + start * n_elements, start,
                        std::min(run.block, run.n_images - start), run.scores + start * last.n_outputs,
                        run.layer_seconds);
} catch (const std::bad_alloc &) {
    run.has_failed = true;
}

template <class Job>
void spread(int64_t n_threads, const Job &job) {
    std::vector<std::thread> helpers;
    try {
        for (int64_t i = 1; i < n_threads; i++) helpers.emplace_back(job);
    } catch (const std::system_error &) {  // fewer threads, same answer
    }
    job();
    for (auto &helper : helpers) helper.join();
}

// Images of a block: their maps stay in the core's caches, and all threads have something to do.
int64_t block_of(const Chain &chain, int64_t n_images, int64_t threads) {
    int64_t n_lines = 0;
    for (int64_t i = chain.from; i < chain.n_layers; i++) n_lines += chain.layers[i].n_lines();
    int64_t block = std::min(BLOCK, BLOCK_BYTES / (n_lines * static_cast<int64_t>(sizeof(Line))) * TILE);
    block = std::min(block, ((n_images + threads - 1) / threads + TILE - 1) / TILE * TILE);
    return std::max<int64_t>(block, TILE);
}

template <class Path>
int score(const Chain &chain, int64_t threads, const uint8_t *images, int64_t n_images, int32_t *scores,
          double *layer_seconds) {
    const int64_t block = block_of(chain, n_images, threads);
    Run run{chain, images, n_images, scores, layer_seconds, block};
    spread(std::min(threads, (n_images + block - 1) / block), [&] { work_off<Path>(run); });
    return run.has_failed ? 1 : 0;
}

template <class Path>
int64_t read_layers(const Layer *clean, const Stored *stored, int64_t n_layers, const Planes &planes,
                    void *const *panels, int32_t *const *limits, Layer *read, int64_t *n_wrong) {
    int64_t total = 0;
    for (int64_t i = 0; i < n_layers; i++) {
        n_wrong[i] = read_layer<Path>(clean[i], stored[i], planes, panels[i], limits[i], read[i]);
        total += n_wrong[i];
    }
    return total;
}

// Faults that are drawn anew for every image: cells with u < p01 turn 1, those with u < p10 turn 0.
struct Reads {  // mirrored by `_Reads` in engine_layers.py
    const StoicKey *roots;  // of each image
    const StoicBanks *banks;
    double p01, p10;
    int64_t n_words;  // of all cells
};

// A thread's copy of everything that faults change.
struct Copy {
    std::vector<uint64_t> turns1, turns0;
    std::vector<std::vector<Line>> panels;
    std::vector<std::vector<int32_t>> limits;
    std::vector<void *> panel_at;
    std::vector<int32_t *> limit_at;
    std::vector<Layer> read;
    std::vector<int64_t> n_wrong;

    Copy(const Layer *clean, int64_t n_layers, const Reads &reads)
        : turns1(static_cast<size_t>(reads.n_words)), turns0(reads.p01 == reads.p10 ? 0 : turns1.size()),
          read(clean, clean + n_layers), n_wrong(read.size()) {
        for (const Layer &layer : read) {
            const auto n = static_cast<size_t>(layer.n_panels() * layer.panel_bytes());
            panels.emplace_back(n / sizeof(Line));
            std::memcpy(static_cast<void *>(panels.back().data()), layer.panels, n);
            limits.emplace_back(layer.limits, layer.limits + layer.n_panels() * layer.panel());
            panel_at.push_back(panels.back().data());
            limit_at.push_back(limits.back().data());
        }
    }
};

struct TransientRun {
    const Chain *chains;
    int64_t n_chains;
    const Layer *clean;  // of all chains, one after the other
    const Stored *stored;
    int64_t n_layers;
    const Reads &reads;
    int path;
    const uint8_t *images;
    int64_t n_images;
    int32_t *scores;
    std::atomic<int64_t> next{0};
    std::atomic<bool> has_failed{false};
};

template <class Path>
void work_off_reads(TransientRun &run) try {
    const Reads &reads = run.reads;
    Copy copy(run.clean, run.n_layers, reads);
    std::vector<Chain> chains(run.chains, run.chains + run.n_chains);
    std::vector<Room> rooms;
    for (Chain &chain : chains) {
        chain.layers = copy.read.data() + (chain.layers - run.clean);
        rooms.emplace_back(chain, 1);
    }
    const uint64_t *turns1 = copy.turns1.data(), *turns0 = turns1;
    const int64_t n_elements = chains[0].n_elements();
    const int64_t n_classes = chains[0].layers[chains[0].n_layers - 1].n_outputs;
    for (int64_t i; (i = run.next.fetch_add(1)) < run.n_images;) {
        stoic_sample_planes(run.path, reads.roots + i, reads.banks, reads.p01, copy.turns1.data(), reads.n_words);
        if (reads.p01 != reads.p10) {
            stoic_sample_planes(run.path, reads.roots + i, reads.banks, reads.p10, copy.turns0.data(), reads.n_words);
            turns0 = copy.turns0.data();
        }
        read_layers<Path>(run.clean, run.stored, run.n_layers, {turns1, turns0}, copy.panel_at.data(),
                          copy.limit_at.data(), copy.read.data(), copy.n_wrong.data());
        for (size_t c = 0; c < chains.size(); c++)
            run_block<Path>(chains[c], rooms[c], run.images + i * n_elements, 0, 1, run.scores + i * n_classes,
                            nullptr);
    }
} catch (const std::bad_alloc &) {
    run.has_failed = true;
}

template <class Path>
int score_reads(TransientRun &run, int64_t threads) {
    spread(std::min(threads, run.n_images), [&] { work_off_reads<Path>(run); });
    return run.has_failed ? 1 : 0;
}

enum { PORTABLE, WITH_AVX2, WITH_AVX512 };

template <class Path>
double limit_per_second(int64_t rounds) {
    const double begin = cpu_seconds();
    const auto products = static_cast<double>(Path::limit(rounds));
    return products / (cpu_seconds() - begin);
}

}  // namespace

#ifdef HAS_X86
#define ON_PATH(call)                                            \
    switch (path) {                                              \
        case WITH_AVX512: return call(Avx512);                   \
        case WITH_AVX2: return call(Avx2);                       \
        default: return call(Portable);                          \
    }
#else
#define ON_PATH(call) return call(Portable);
#endif

extern "C" {

int stoic_engine_abi() { return 7; }

// 1 where this CPU and its system can run the path.
int stoic_engine_supports(int path) {
#ifdef HAS_X86
    if (path == WITH_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    if (path == WITH_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
#endif
    return path == PORTABLE;
}

// Scores (n_images, n_classes) of images (n_images, n_elements). 0: done, 1: out of memory.
// `layer_seconds` (n_layers,) may be given with one thread only; null otherwise.
int stoic_engine_scores([[maybe_unused]] int path, int64_t threads, const Chain *chain, const uint8_t *images,
                        int64_t n_images, int32_t *scores, double *layer_seconds) {
#define CALL(P) score<P>(*chain, threads, images, n_images, scores, layer_seconds)
    ON_PATH(CALL)
#undef CALL
}

// The same, where image i meets the faults of `reads->roots[i]` in all layers of all chains.
int stoic_engine_transient(int path, int64_t threads, const Chain *chains, int64_t n_chains, const Layer *clean,
                           const Stored *stored, int64_t n_layers, const Reads *reads, const uint8_t *images,
                           int64_t n_images, int32_t *scores) {
    TransientRun run{chains, n_chains, clean, stored, n_layers, *reads, path, images, n_images, scores};
#define CALL(P) score_reads<P>(run, threads)
    ON_PATH(CALL)
#undef CALL
}

// Lines of a tile of what a layer is given.
int64_t stoic_engine_lines(const Layer *layer) { return layer->n_lines(); }

// What the memory reads: `read[i]` becomes layer i under the planes, in `panels[i]` and `limits[i]` where it
// differs from the clean one; `n_wrong[i]` of its stored bits do. Returns the sum of them.
int64_t stoic_engine_inject([[maybe_unused]] int path, const Layer *clean, const Stored *stored, int64_t n_layers,
                            const uint64_t *turns1, const uint64_t *turns0, void *const *panels,
                            int32_t *const *limits, Layer *read, int64_t *n_wrong) {
#define CALL(P) read_layers<P>(clean, stored, n_layers, {turns1, turns0}, panels, limits, read, n_wrong)
    ON_PATH(CALL)
#undef CALL
}

// Bit products a CPU second of XOR, popcount and add on registers alone: what no kernel of the path can beat.
double stoic_engine_limit([[maybe_unused]] int path, int64_t rounds) {
#define CALL(P) limit_per_second<P>(rounds)
    ON_PATH(CALL)
#undef CALL
}

// 1 where n bytes are the same.
int stoic_engine_same(const void *a, const void *b, int64_t n) {
    return std::memcmp(a, b, static_cast<size_t>(n)) == 0;
}
}
