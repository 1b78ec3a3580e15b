#include "base/result.h"

namespace vitrail::base {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kCanceled: return "CANCELED";
    case Code::kUnknown: return "UNKNOWN";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded: return "DEADLINE_EXCEEDED";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kAlreadyExists: return "ALREADY_EXISTS";
    case Code::kPermissionDenied: return "PERMISSION_DENIED";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kAborted: return "ABORTED";
    case Code::kOutOfRange: return "OUT_OF_RANGE";
    case Code::kUnimplemented: return "UNIMPLEMENTED";
    case Code::kInternal: return "INTERNAL";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kUnauthenticated: return "UNAUTHENTICATED";
    case Code::kClusterEvent: return "CLUSTER_EVENT";
    case Code::kReadOnly: return "READ_ONLY";
  }
  return "UNKNOWN";
}

Error::Error(Code code, std::string message) : rep_(std::make_unique<Rep>()) {
  rep_->code = code;
  rep_->message = std::move(message);
}

Error::Error(const Error& other) : rep_(std::make_unique<Rep>(*other.rep_)) {}

Error& Error::operator=(const Error& other) {
  if (this != &other) rep_ = std::make_unique<Rep>(*other.rep_);
  return *this;
}

Error Error::with_retry(Retry retry) && {
  rep_->retry = retry;
  return std::move(*this);
}

Error Error::with_effect(Effect effect) && {
  rep_->effect = effect;
  return std::move(*this);
}

Error Error::with_mysql(uint16_t mysql_errno, std::string_view sqlstate) && {
  rep_->mysql_errno = mysql_errno;
  rep_->sqlstate = sqlstate;
  return std::move(*this);
}

Error Error::with_reason(Reason reason) && {
  rep_->reason = reason;
  return std::move(*this);
}

Error Error::with_origin(Origin origin) && {
  const auto put = [](std::string& place, std::string& part) {
    if (!part.empty()) place = std::move(part);
  };
  put(rep_->origin.keyspace, origin.keyspace);
  put(rep_->origin.shard, origin.shard);
  put(rep_->origin.tablet, origin.tablet);
  put(rep_->origin.rule, origin.rule);
  return std::move(*this);
}

Error Error::with_context(std::string_view context) && {
  rep_->message.insert(0, ": ").insert(0, context);
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string text(code_name(rep_->code));
  return text.append(": ").append(rep_->message);
}

}  // namespace vitrail::base
