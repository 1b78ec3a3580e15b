#include "combo/ports.h"

#include <gtest/gtest.h>

#include <set>

namespace vitrail::combo {
namespace {

TEST(Ports, AreNotThoseOfOutgoingConnections) {
  const struct {
    std::string_view local;
    PortRange wanted;
  } cases[] = {
      {"32768\t60999\n", {10000, 32767}},
      {"10999 60999", {61000, 65535}},
      {"11000 65535", {10000, 10999}},
      {"1024 4000", {10000, 65535}},
      {"1024 65535", {0, 0}},
      {"1024 64535", {64536, 65535}},
      {"1024 64536", {0, 0}},
      {"", {0, 0}},
      {"x", {0, 0}},
      {"5 3", {0, 0}},
      {"70000 80000", {0, 0}},
      {"15000 99999", {0, 0}},
  };
  for (const auto& one : cases) {
    const PortRange got = range_to_listen(one.local);
    EXPECT_EQ(got, one.wanted) << one.local << ": " << got.first << " to " << got.last;
  }
}

TEST(Ports, AreAllDifferent) {
  const auto ports = free_ports(50);
  ASSERT_TRUE(ports.ok());
  EXPECT_EQ(std::set<uint16_t>(ports->begin(), ports->end()).size(), 50u);
  EXPECT_EQ(free_ports(0)->size(), 0u);
}

}  // namespace
}  // namespace vitrail::combo
