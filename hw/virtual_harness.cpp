// SPDX-License-Identifier: Apache-2.0
// The virtual board: the Verilated top behind a TCP port or a pty, one client at a time.
//
//   stoic_serve("tcp", "PORT", ...)    on 127.0.0.1; 0 takes a free port
//   stoic_serve("pty", "LINK", ...)    LINK becomes a symbolic link to the terminal
//
// It prints `ready URL` once it listens, then now and then `speed CYCLES SECONDS` of the time in
// which it was not asleep; keeps its memories when a client leaves, sleeps when the top has nothing
// to do, and ends when standard input, if that is a pipe, is closed: the parent is gone. Who comes
// second is told so, in answer to its first bytes. Built with STOIC_BUTTON (the level of a button
// that is not pressed) the top is a board's wrapper, and bytes go bit by bit through its UART pins.
// STOIC_IDLE is the top's idle signal.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vboard.h"
#include "Vboard___024root.h"
#include "verilated.h"

namespace {

constexpr int CYCLES_PER_POLL = 1024;  // between two looks at the port
constexpr size_t MOST_REFUSED = 8;  // clients that are told to come later, at once
constexpr size_t MOST_WAITING = 1 << 16;  // bytes a client has not fetched; then the top is stalled

// The top and the bytes on their way to and from it.
struct Board {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vboard> top{new Vboard{context.get()}};
    std::deque<uint8_t> in, out;

    explicit Board(int clocks_per_bit) : clocks_per_bit(clocks_per_bit) {
#ifdef STOIC_BUTTON
        top->button_i = STOIC_BUTTON;
        for (int i = 0; i < 1024; ++i) cycle();  // the wrapper resets the top for 256 of them
#else
        top->rst_i = 1;
        for (int i = 0; i < 256; ++i) cycle();
        top->rst_i = 0;
#endif
    }

    void tick() {
        top->clk_i = 1;
        top->eval();
        top->clk_i = 0;
        top->eval();
    }

    const int clocks_per_bit;
#ifdef STOIC_BUTTON
    uint32_t sending = 0, receiving = 0;  // bits to come, the next one lowest; a one above the last
    int send_clock = 0, receive_clock = 0, received = 0, quiet = 0;

    void cycle() {
        if (sending <= 1 && !in.empty()) {
            sending = 0x600u | uint32_t{in.front()} << 1;  // start 0, data, stop 1
            in.pop_front();
        }
        top->uart_rx_i = sending > 1 ? sending & 1 : 1;
        if (sending > 1 && ++send_clock == clocks_per_bit) {
            send_clock = 0;
            sending >>= 1;
        }
        tick();
        const bool line = top->uart_tx_o;
        if (received == 0 && !line) {
            received = 1;
            receive_clock = clocks_per_bit / 2;
            receiving = 0;
        } else if (received != 0 && --receive_clock == 0) {
            receive_clock = clocks_per_bit;
            if (received >= 2 && received <= 9) receiving |= uint32_t{line} << (received - 2);
            if (++received == 11) {
                if (line) out.push_back(static_cast<uint8_t>(receiving));
                received = 0;
            }
        }
        quiet = sending > 1 || received != 0 || !line ? 0 : quiet + 1;
    }

    bool idle() const {
        return in.empty() && quiet > 20 * clocks_per_bit && top->rootp->STOIC_IDLE;
    }
#else
    void cycle() {
        // the handshake answers of the top depend on its registers alone: they hold for this cycle
        top->rx_tvalid = !in.empty();
        if (!in.empty()) top->rx_tdata = in.front();
        top->tx_tready = out.size() < MOST_WAITING;
        const bool taken = top->rx_tvalid && top->rx_tready;
        if (top->tx_tvalid && top->tx_tready) out.push_back(top->tx_tdata);
        tick();
        if (taken) in.pop_front();
    }

    bool idle() const { return in.empty() && top->rootp->STOIC_IDLE; }
#endif
};

int fail(const std::string& what) {
    std::printf("error %s: %s\n", what.c_str(), std::strerror(errno));
    std::fflush(stdout);
    return 1;
}

int listen_on(const char* port, std::string* url) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) || listen(fd, 4)) return -1;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    *url = "socket://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    return fd;
}

// The terminal's other end stays open here, so that a client that leaves does not hang up on us.
int open_terminal(const char* link) {
    int master = -1, slave = -1;
    termios raw{};
    cfmakeraw(&raw);
    char name[128];
    if (openpty(&master, &slave, name, &raw, nullptr)) return -1;
    return symlink(name, link) ? -1 : master;
}

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

Clock::duration seconds(double s) {
    return std::chrono::duration_cast<Clock::duration>(Seconds(s));
}

// One direction of a serial line: a byte takes 10 bits, and waits for the one before it.
struct Line {
    double byte_s;  // 0: as fast as it goes
    std::deque<uint8_t> waiting;
    Clock::time_point due;  // of the next byte

    void put(const uint8_t* data, size_t n) {
        if (waiting.empty()) due = std::max(due, Clock::now() + seconds(byte_s));
        waiting.insert(waiting.end(), data, data + n);
    }

    // moves the bytes that have arrived; when the next one does
    Clock::time_point take(std::deque<uint8_t>& to) {
        if (byte_s == 0) {
            to.insert(to.end(), waiting.begin(), waiting.end());
            waiting.clear();
            return Clock::time_point::max();
        }
        const Clock::time_point now = Clock::now();
        while (!waiting.empty() && due <= now) {
            to.push_back(waiting.front());
            waiting.pop_front();
            due += seconds(byte_s);
        }
        return waiting.empty() ? Clock::time_point::max() : due;
    }
};

// A USB serial chip: what came from the board goes to the host 62 bytes at a time, and what is left
// when its latency timer runs out. Source: FTDI AN232B-04.
struct Chip {
    static constexpr size_t PACKET = 62;
    double latency_s;
    std::deque<uint8_t> held;
    Clock::time_point since;

    Clock::time_point pass(std::deque<uint8_t>& in, std::deque<uint8_t>& to) {
        if (held.empty() && !in.empty()) since = Clock::now();
        held.insert(held.end(), in.begin(), in.end());
        in.clear();
        if (held.empty()) return Clock::time_point::max();
        const Clock::time_point out = since + seconds(latency_s);
        const bool is_late = latency_s <= 0 || Clock::now() >= out;
        const size_t n = is_late ? held.size() : held.size() - held.size() % PACKET;
        if (n) since = Clock::now();
        to.insert(to.end(), held.begin(), held.begin() + n);
        held.erase(held.begin(), held.begin() + n);
        return held.empty() ? Clock::time_point::max() : since + seconds(latency_s);
    }
};

// How fast the simulation is, without the time in which it sleeps.
struct Speed {
    uint64_t cycles = 0;
    double busy_s = 0, told_s = 0;

    void tell() {
        if (busy_s == told_s) return;
        std::printf("speed %llu %.3f\n", static_cast<unsigned long long>(cycles), busy_s);
        std::fflush(stdout);  // a pipe that nobody reads takes no more, and that is all
        told_s = busy_s;
    }
};

struct Server {
    Board& board;
    Line to_board, from_board;
    Chip chip;
    const std::string refusal;
    int listening, client;
    std::vector<int> refused;  // who came second, and has not asked anything yet
    std::deque<uint8_t> to_host;
    Speed speed;

    void welcome() {
        const int fd = accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        const int on = 1;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (client < 0)
            client = fd;
        else
            refused.push_back(fd);
        if (refused.size() > MOST_REFUSED) turn_away(0);
    }

    void turn_away(size_t i) {
        uint8_t asked[1 << 12];
        if (read(refused[i], asked, sizeof asked) > 0) {
            const ssize_t n = write(refused[i], refusal.data(), refusal.size());
            if (n > 0) shutdown(refused[i], SHUT_WR);
        }
        close(refused[i]);
        refused.erase(refused.begin() + static_cast<long>(i));
    }

    void drop_client() {
        close(client);
        client = -1;
        board.in.clear();
        board.out.clear();
        for (auto* bytes : {&to_board.waiting, &from_board.waiting, &chip.held, &to_host})
            bytes->clear();
        speed.tell();
    }

    // false: the client is gone
    bool fetch() {
        uint8_t buffer[1 << 14];
        const ssize_t n = read(client, buffer, sizeof buffer);
        if (n > 0) to_board.put(buffer, static_cast<size_t>(n));
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }

    bool send() {
        uint8_t buffer[1 << 14];
        const size_t most = std::min(to_host.size(), sizeof buffer);
        std::copy_n(to_host.begin(), most, buffer);
        const ssize_t n = write(client, buffer, most);
        if (n > 0) to_host.erase(to_host.begin(), to_host.begin() + n);
        return n >= 0 || errno == EAGAIN || errno == EINTR;
    }

    // bytes along the line; when there is something to do again
    Clock::time_point carry() {
        Clock::time_point next = to_board.take(board.in);
        if (client < 0) board.out.clear();
        if (to_host.size() + from_board.waiting.size() >= MOST_WAITING) return next;
        if (from_board.byte_s > 0) {
            while (!board.out.empty()) {
                from_board.put(&board.out.front(), 1);
                board.out.pop_front();
            }
            std::deque<uint8_t> arrived;
            next = std::min(next, from_board.take(arrived));
            return std::min(next, chip.pass(arrived, to_host));
        }
        return std::min(next, chip.pass(board.out, to_host));
    }

    void simulate() {
        const Clock::time_point start = Clock::now();
        int i = 0;
        for (; i < CYCLES_PER_POLL && (i % 32 || !board.idle()); ++i) board.cycle();
        speed.cycles += static_cast<uint64_t>(i);
        speed.busy_s += Seconds(Clock::now() - start).count();
        if (speed.busy_s - speed.told_s > 1) speed.tell();
    }

    int run() {
        struct stat input {};
        const bool watched = fstat(0, &input) == 0 && S_ISFIFO(input.st_mode);
        for (;;) {
            const Clock::time_point next = carry();
            const bool has_room = board.in.size() + to_board.waiting.size() < MOST_WAITING;
            const int wanted = (has_room ? POLLIN : 0) | (to_host.empty() ? 0 : POLLOUT);
            std::vector<pollfd> fds = {
                {watched ? 0 : -1, POLLIN, 0},
                {listening, POLLIN, 0},
                {client, static_cast<short>(wanted), 0},
            };
            for (const int fd : refused) fds.push_back({fd, POLLIN, 0});
            timespec wait{};
            const timespec* until = &wait;
            if (board.idle() && next == Clock::time_point::max())
                until = nullptr;
            else if (board.idle()) {
                const auto left = std::chrono::nanoseconds(next - Clock::now()).count();
                if (left > 0) wait = {left / 1000000000, left % 1000000000};
            }
            ppoll(fds.data(), fds.size(), until, nullptr);
            if (fds[0].revents) return 0;
            for (size_t i = refused.size(); i-- > 0;)
                if (fds[3 + i].revents) turn_away(i);
            const short events = fds[2].revents;
            bool is_there = !(events & (POLLIN | POLLHUP | POLLERR)) || fetch();
            to_board.take(board.in);
            if (!board.idle()) simulate();
            if (client >= 0 && is_there) {
                carry();
                if (!to_host.empty()) is_there = send();
            }
            if (client >= 0 && !is_there && listening >= 0) drop_client();
            if (fds[1].revents & POLLIN) welcome();  // last: who just left makes room
        }
    }
};

}  // namespace

// baud 0: bytes go as fast as they can; refusal: what who comes second is sent
extern "C" int stoic_serve(const char* transport, const char* where, int clocks_per_bit,
                           double baud, double latency_s, const char* refusal, size_t size) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_DFL);
    const bool is_tcp = std::strcmp(transport, "tcp") == 0;
    std::string url = where;
    const int fd = is_tcp ? listen_on(where, &url) : open_terminal(where);
    if (fd < 0) return fail(is_tcp ? "port " + url : url);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    Board board{clocks_per_bit};
    std::printf("ready %s\n", url.c_str());
    std::fflush(stdout);
    fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
    const Line line{baud > 0 ? 10 / baud : 0, {}, {}};
    Server server{board, line, line, {latency_s, {}, {}}, {refusal, size},
                  is_tcp ? fd : -1, is_tcp ? -1 : fd, {}, {}, {}};
    const int status = server.run();
    if (!is_tcp) unlink(where);
    return status;
}
