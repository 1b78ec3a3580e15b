#pragma once

#include <cstdint>
#include <string>

namespace vitrail::rpc::internal {

// Why a library could not listen there, which it does not tell: found out by trying it once more, by hand. An empty
// host means all addresses.
std::string why_not_listening(const std::string& host, uint16_t port);

}  // namespace vitrail::rpc::internal
