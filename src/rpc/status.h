#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/server.h"

// Internal to rpc/: our errors and bytes in gRPC's types.
//
// A status carries the number of base::Code, 17 (CLUSTER_EVENT) and 18 (READ_ONLY) included: gRPC C++ 1.51 sends and
// receives numbers outside its own enumeration unchanged (rpc_test proves it). What else a router must know travels in
// trailing metadata of every failed call, which also tells an answer of our server from a failure of the transport:
//     vitrail-error: <retry> <effect> <mysql errno> <sqlstate, or "-">
namespace vitrail::rpc::internal {

inline constexpr char kErrorKey[] = "vitrail-error";
inline constexpr size_t kStatusMessageMax = 4u << 10;  // Bytes; longer messages are cut, as headers have a limit.
inline constexpr int kMetadataBytesMax = 64 << 10;     // Room for a cut message with every byte escaped.

grpc::Status to_grpc_status(const Error& error);
// Value of kErrorKey.
std::string error_detail(const Error& error);

using TrailingMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;
// The Error of a failed call. `never_sent`: the server cannot have seen the request. `what` is put before messages that
// the transport made up.
Error to_error(const grpc::Status& status, const TrailingMetadata& trailing, bool never_sent, std::string_view what);

grpc::ByteBuffer to_buffer(std::string bytes);
Result<std::string> from_buffer(const grpc::ByteBuffer& buffer);

}  // namespace vitrail::rpc::internal
