#pragma once

#include <optional>

#include "workflowdata.pb.h"

namespace google::protobuf {
class Message;
}

namespace vitrail::topo {

// Whose command a request to a tablet is, beside the fields that the interface has: in a field of a number that no
// version of it uses, which servers that do not know it ignore.
void set_fence(google::protobuf::Message& request, const ::workflowdata::Fence& fence);
std::optional<::workflowdata::Fence> find_fence(const google::protobuf::Message& request);

}  // namespace vitrail::topo
