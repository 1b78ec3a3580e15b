#include "rpc/status.h"

#include <fmt/core.h>
#include <grpcpp/support/slice.h>

#include <charconv>
#include <utility>
#include <vector>

#include "base/text.h"

namespace vitrail::rpc::internal {
namespace {

// Codes that a transport or gRPC itself also uses: who sent them is known only by kErrorKey.
bool may_be_of_transport(Code code) {
  switch (code) {
    case Code::kCanceled:
    case Code::kUnknown:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
    case Code::kUnimplemented:
    case Code::kInternal:
    case Code::kUnavailable: return true;
    default: return false;
  }
}

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Error with_detail(Error error, std::string_view detail) {
  const std::vector<std::string_view> parts = base::split(detail, ' ');
  if (parts.size() != 4) return error;
  const int retry = number(parts[0]);
  const int effect = number(parts[1]);
  const int mysql_errno = number(parts[2]);
  if (retry >= 0 && retry <= static_cast<int>(Retry::kAfterTopologyRefresh)) {
    error = std::move(error).with_retry(static_cast<Retry>(retry));
  }
  if (effect >= 0 && effect <= static_cast<int>(Effect::kUnknown)) {
    error = std::move(error).with_effect(static_cast<Effect>(effect));
  }
  if (mysql_errno > 0 && mysql_errno <= UINT16_MAX) {
    error = std::move(error).with_mysql(static_cast<uint16_t>(mysql_errno), parts[3] == "-" ? "" : parts[3]);
  }
  return error;
}

}  // namespace

grpc::Status to_grpc_status(const Error& error) {
  std::string message = error.message();
  if (message.size() > kStatusMessageMax) {
    message.resize(kStatusMessageMax - 3);
    message += "...";
  }
  return grpc::Status(static_cast<grpc::StatusCode>(error.code()), message);
}

std::string error_detail(const Error& error) {
  return fmt::format("{} {} {} {}", static_cast<int>(error.retry()), static_cast<int>(error.effect()),
                     error.mysql_errno(), error.sqlstate().empty() ? "-" : error.sqlstate());
}

Error to_error(const grpc::Status& status, const TrailingMetadata& trailing, bool never_sent, std::string_view what) {
  const int number = static_cast<int>(status.error_code());
  const bool known = number >= 1 && number <= static_cast<int>(Code::kReadOnly);
  const Code code = known ? static_cast<Code>(number) : Code::kUnknown;
  Error error(code, status.error_message());
  const auto detail = trailing.find(kErrorKey);
  if (detail != trailing.end()) {
    return with_detail(std::move(error), std::string_view(detail->second.data(), detail->second.size()));
  }
  if (!may_be_of_transport(code)) return error;
  error = std::move(error).with_context(what);
  if (never_sent) return std::move(error).with_retry(Retry::kSameTarget).with_effect(Effect::kNone);
  return std::move(error).with_effect(Effect::kUnknown);
}

grpc::ByteBuffer to_buffer(std::string bytes) {
  static constexpr size_t kCopyBelow = 1024;
  if (bytes.size() < kCopyBelow) {
    const grpc::Slice slice(bytes);
    return grpc::ByteBuffer(&slice, 1);
  }
  auto* const kept = new std::string(std::move(bytes));
  const grpc::Slice slice(
      kept->data(), kept->size(), [](void* owner) { delete static_cast<std::string*>(owner); }, kept);
  return grpc::ByteBuffer(&slice, 1);
}

Result<std::string> from_buffer(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (const grpc::Status status = buffer.Dump(&slices); !status.ok()) {
    return fail(Code::kInternal, "unreadable message: " + status.error_message());
  }
  std::string bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace vitrail::rpc::internal
