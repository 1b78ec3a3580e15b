#include "rpc/typed.h"

#include <google/protobuf/message_lite.h>

namespace vitrail::rpc::internal {

std::string serialize(const google::protobuf::MessageLite& message) { return message.SerializeAsString(); }

Status parse_request(google::protobuf::MessageLite& message, const std::string& bytes) {
  if (message.ParseFromString(bytes)) return {};
  return fail(Code::kInvalidArgument, "the request is not a valid " + message.GetTypeName());
}

Status parse_response(google::protobuf::MessageLite& message, const std::string& bytes) {
  if (message.ParseFromString(bytes)) return {};
  return fail(Code::kInternal, "the response is not a valid " + message.GetTypeName()).with_effect(Effect::kUnknown);
}

}  // namespace vitrail::rpc::internal
