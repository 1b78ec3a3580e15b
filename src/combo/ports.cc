#include "combo/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>

#include "base/file.h"

namespace vitrail::combo {

namespace {

constexpr uint16_t kLowest = 10000;  // Below it are the ports that people choose.
constexpr uint16_t kHighest = 65535;
constexpr int kEnough = 1000;
constexpr int kTries = 1000;

// The port that was bound: `port`, or one of the kernel's choice for 0. The socket does not listen.
Result<uint16_t> bind_port(int fd, uint16_t port) {
  // What remains of earlier connections of a port is no server.
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof address;
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || ::bind(fd, raw, size) != 0 ||
      ::getsockname(fd, raw, &size) != 0) {
    return base::system_error(errno, "looking for a free port");
  }
  return ntohs(address.sin_port);
}

}  // namespace

PortRange range_to_listen(std::string_view local) {
  unsigned low = 0;
  unsigned high = 0;
  if (std::sscanf(std::string(local).c_str(), "%u %u", &low, &high) != 2 || low > high || high > kHighest) return {};
  if (low >= kLowest + kEnough) return {kLowest, static_cast<uint16_t>(low - 1)};
  const auto above = static_cast<uint16_t>(std::max<unsigned>(high + 1, kLowest));
  if (high + kEnough <= kHighest) return {above, kHighest};
  return {};
}

Result<std::vector<uint16_t>> free_ports(size_t count) {
  const auto local = base::read_file("/proc/sys/net/ipv4/ip_local_port_range");
  const PortRange range = local.ok() ? range_to_listen(*local) : PortRange{};
  std::random_device random;
  std::uniform_int_distribution<uint16_t> any(range.first, range.last);
  std::vector<uint16_t> ports;
  std::vector<int> sockets;
  Status outcome;
  for (int tries = 0; ports.size() < count;) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      outcome = base::system_error(errno, "looking for a free port");
      break;
    }
    sockets.push_back(fd);  // Bound until all are known, so that they differ.
    const auto port = bind_port(fd, range == PortRange{} || tries >= kTries ? 0 : any(random));
    if (port.ok() && std::ranges::find(ports, *port) == ports.end()) {
      ports.push_back(*port);
    } else if (++tries > kTries && !port.ok()) {
      outcome = port.error();
      break;
    } else {
      ::close(fd);
      sockets.pop_back();
    }
  }
  for (const int fd : sockets) ::close(fd);
  if (!outcome.ok()) return std::move(outcome).error();
  return ports;
}

}  // namespace vitrail::combo
