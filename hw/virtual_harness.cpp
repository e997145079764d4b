// SPDX-License-Identifier: Apache-2.0
// The virtual board: the Verilated top behind a TCP port or a pty, one client at a time.
//
//   stoic_serve("tcp", "PORT", n)    on 127.0.0.1; 0 takes a free port
//   stoic_serve("pty", "LINK", n)    LINK becomes a symbolic link to the terminal
//
// It prints `ready URL` once it listens, keeps its memories when a client leaves, sleeps when the
// top has nothing to do, and ends when standard input, if that is a pipe, is closed: the parent is
// gone. Built with STOIC_BUTTON (the level of a button that is not pressed) the top is a board's
// wrapper, and bytes go bit by bit through its UART pins, n clocks a bit. STOIC_IDLE is the top's
// idle signal.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>

#include "Vboard.h"
#include "Vboard___024root.h"
#include "verilated.h"

namespace {

constexpr int CYCLES_PER_POLL = 256;   // between two looks at the port
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
    struct stat at {};
    const bool dangles = lstat(link, &at) == 0 && S_ISLNK(at.st_mode) && stat(link, &at) != 0;
    if (dangles) unlink(link);
    return symlink(name, link) ? -1 : master;
}

int serve(Board& board, int listening, int client) {
    struct stat input {};
    const bool watched = fstat(0, &input) == 0 && S_ISFIFO(input.st_mode);
    uint8_t buffer[1 << 14];
    for (;;) {
        const int wanted = (board.in.empty() ? POLLIN : 0) | (board.out.empty() ? 0 : POLLOUT);
        pollfd fds[3] = {
            {watched ? 0 : -1, POLLIN, 0},
            {listening, POLLIN, 0},
            {client, static_cast<short>(wanted), 0},
        };
        poll(fds, 3, board.idle() ? -1 : 0);
        if (fds[0].revents) return 0;
        if (fds[1].revents & POLLIN) {
            const int fd = accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            const int on = 1;
            if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            if (client < 0)
                client = fd;
            else if (fd >= 0)
                close(fd);  // busy: one client at a time
        }
        bool gone = false;
        if (client >= 0 && fds[2].revents & (POLLIN | POLLHUP | POLLERR)) {
            const ssize_t n = read(client, buffer, sizeof buffer);
            if (n > 0) board.in.insert(board.in.end(), buffer, buffer + n);
            gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        }
        if (!board.idle())
            for (int i = 0; i < CYCLES_PER_POLL; ++i) board.cycle();
        if (client >= 0 && !gone && !board.out.empty()) {
            const size_t most = board.out.size() < sizeof buffer ? board.out.size() : sizeof buffer;
            for (size_t i = 0; i < most; ++i) buffer[i] = board.out[i];
            const ssize_t n = write(client, buffer, most);
            if (n > 0) board.out.erase(board.out.begin(), board.out.begin() + n);
            gone = n < 0 && errno != EAGAIN && errno != EINTR;
        }
        if (gone && listening >= 0) {
            close(client);
            client = -1;
        }
        if (client < 0) {
            board.in.clear();
            board.out.clear();
        }
    }
}

}  // namespace

extern "C" int stoic_serve(const char* transport, const char* where, int clocks_per_bit) {
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
    const int status = is_tcp ? serve(board, fd, -1) : serve(board, -1, fd);
    if (!is_tcp) unlink(where);
    return status;
}
