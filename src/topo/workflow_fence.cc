#include "topo/workflow_fence.h"

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

namespace vitrail::topo {
namespace {

constexpr int kFenceField = 15'001;

}  // namespace

void set_fence(google::protobuf::Message& request, const ::workflowdata::Fence& fence) {
  auto* fields = request.GetReflection()->MutableUnknownFields(&request);
  fields->AddLengthDelimited(kFenceField)->assign(fence.SerializeAsString());
}

std::optional<::workflowdata::Fence> find_fence(const google::protobuf::Message& request) {
  const auto& fields = request.GetReflection()->GetUnknownFields(request);
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    if (field.number() != kFenceField || field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
      continue;
    ::workflowdata::Fence fence;
    if (fence.ParseFromString(field.length_delimited()) && !fence.workflow_id().empty()) return fence;
  }
  return std::nullopt;
}

}  // namespace vitrail::topo
