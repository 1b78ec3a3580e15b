#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrail::backup {

// CRC-32C (Castagnoli, as in iSCSI, RFC 3720 appendix B.4), in pieces: what Vitess's manifests hold as "Hash".
class Crc32c {
 public:
  void add(std::string_view bytes);
  uint32_t value() const { return ~state_; }
  std::string to_hex() const;  // Eight digits.

 private:
  uint32_t state_ = ~0u;
};

}  // namespace vitrail::backup
