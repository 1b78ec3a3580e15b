#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

// Ports for what starts a while after they were chosen: a server that is made first, say.
namespace vitrail::combo {

// Both ends are in it; {0, 0}: none.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  bool operator==(const PortRange&) const = default;
};

// Ports that the kernel gives to nobody by itself: one that it does may be that of somebody's outgoing connection by
// the time the server starts. `local`: the text of /proc/sys/net/ipv4/ip_local_port_range.
PortRange range_to_listen(std::string_view local);

// Ports of 127.0.0.1 that were free a moment ago, all different.
Result<std::vector<uint16_t>> free_ports(size_t count);

}  // namespace vitrail::combo
