#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vitrail::base {

// Canonical error codes. The numbers equal vtrpc.Code, and so travel unchanged in gRPC statuses and in RPCError.
enum class Code : uint8_t {
  kOk = 0,
  kCanceled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
  kClusterEvent = 17,  // The shard or table is being moved or reparented: wait and try again.
  kReadOnly = 18,
};

// Upper-case name as vtrpc spells it ("FAILED_PRECONDITION"); "UNKNOWN" for a number outside the list.
std::string_view code_name(Code code);

// Where the failed operation may be tried again.
enum class Retry : uint8_t { kNever, kSameTarget, kOtherTarget, kAfterTopologyRefresh };

// Whether the failed operation took effect. kUnknown is never retried blindly.
enum class Effect : uint8_t { kNone, kApplied, kUnknown };

// Why, where a caller decides by it and code(), retry() and effect() do not tell enough. The numbers travel over the
// data port (mysql/errors.h): append only, at most 36.
enum class Reason : uint8_t {
  kNone = 0,
  kNotServing = 1,       // The tablet or the shard serves nothing at the moment.
  kWrongTabletType = 2,  // The tablet serves another type than the one that was asked for.
  kWrongTarget = 3,      // The tablet belongs to another keyspace or shard.
  kDeniedTable = 4,      // A rule keeps statements away from a table, as while it is being moved.
  kResharding = 5,       // The shard's traffic is being switched to others.
  kNoTablet = 6,         // No healthy tablet is known for the target.
  kReadOnlyServer = 7,   // The server takes no writes: it has been demoted.
  kTransactionLost = 8,  // The session's open transaction has been ended by somebody else than its client.
  kDraining = 9,         // Writes are held back for a planned change of the primary.
};
inline constexpr uint8_t kReasons = 10;

// Where an error was met, as far as it is known; parts are empty that are not.
struct Origin {
  std::string keyspace;
  std::string shard;
  std::string tablet;  // Alias.
  std::string rule;    // The table or the rule that refused.
  bool empty() const { return keyspace.empty() && shard.empty() && tablet.empty() && rule.empty(); }
  bool operator==(const Origin&) const = default;
};

// Why an operation failed, and what a caller may do about it.
//
//   Message : what failed, on what, and what the operator can do; context is added once per layer with with_context().
//   MySQL   : errno and SQLSTATE when the error came from, or goes to, a MySQL peer; 0 and "" otherwise.
//   Copying : one small allocation. Errors are rare; do not use them for the expected path of a hot loop.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message);

  Error(const Error& other);
  Error& operator=(const Error& other);
  Error(Error&&) noexcept = default;
  Error& operator=(Error&&) noexcept = default;
  ~Error() = default;

  Code code() const { return rep_->code; }
  const std::string& message() const { return rep_->message; }
  Retry retry() const { return rep_->retry; }
  Effect effect() const { return rep_->effect; }
  uint16_t mysql_errno() const { return rep_->mysql_errno; }
  std::string_view sqlstate() const { return rep_->sqlstate; }
  Reason reason() const { return rep_->reason; }
  const Origin& origin() const { return rep_->origin; }

  // Builders: Error(Code::kUnavailable, "...").with_retry(Retry::kOtherTarget).with_effect(Effect::kUnknown)
  Error with_retry(Retry retry) &&;
  Error with_effect(Effect effect) &&;
  Error with_mysql(uint16_t mysql_errno, std::string_view sqlstate) &&;
  Error with_reason(Reason reason) &&;
  // Parts that are empty in `origin` stay as they were.
  Error with_origin(Origin origin) &&;
  // "context: message".
  Error with_context(std::string_view context) &&;

  // "NOT_FOUND: keyspace commerce does not exist", for logs and tests.
  std::string to_string() const;

 private:
  struct Rep {
    Code code;
    Retry retry = Retry::kNever;
    Effect effect = Effect::kNone;
    Reason reason = Reason::kNone;
    uint16_t mysql_errno = 0;
    std::string sqlstate;
    std::string message;
    Origin origin;
  };
  std::unique_ptr<Rep> rep_;
};

// A value or an Error. `return value;`, `return fail(Code::kNotFound, "...")`, `return std::unexpected(error)`.
template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(Error error) : std::expected<T, Error>(std::unexpected(std::move(error))) {}
  bool ok() const { return this->has_value(); }
};

// Success or an Error: `return {};`.
using Status = Result<void>;

inline Error fail(Code code, std::string message) { return Error(code, std::move(message)); }

}  // namespace vitrail::base

namespace vitrail {
using base::Code;
using base::Effect;
using base::Error;
using base::fail;
using base::Origin;
using base::Reason;
using base::Result;
using base::Retry;
using base::Status;
}  // namespace vitrail

#define VITRAIL_CONCAT_(a, b) a##b
#define VITRAIL_CONCAT(a, b) VITRAIL_CONCAT_(a, b)

// RETURN_IF_ERROR(status_expression); the CO_ forms are for coroutines, where the expression may contain co_await.
#define RETURN_IF_ERROR(expr)                                                    \
  do {                                                                           \
    auto vitrail_status_ = (expr);                                               \
    if (!vitrail_status_.has_value()) return std::move(vitrail_status_).error(); \
  } while (false)
#define CO_RETURN_IF_ERROR(expr)                                                    \
  do {                                                                              \
    auto vitrail_status_ = (expr);                                                  \
    if (!vitrail_status_.has_value()) co_return std::move(vitrail_status_).error(); \
  } while (false)

// ASSIGN_OR_RETURN(auto value, result_expression);
#define ASSIGN_OR_RETURN(lhs, expr) \
  VITRAIL_ASSIGN_OR_RETURN_(VITRAIL_CONCAT(vitrail_result_, __LINE__), lhs, expr, return)
#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  VITRAIL_ASSIGN_OR_RETURN_(VITRAIL_CONCAT(vitrail_result_, __LINE__), lhs, expr, co_return)
#define VITRAIL_ASSIGN_OR_RETURN_(tmp, lhs, expr, ret) \
  auto tmp = (expr);                                   \
  if (!tmp.has_value()) ret std::move(tmp).error();    \
  lhs = std::move(*tmp)
