#include "topo/workflow_fence.h"

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include "topo/paths.h"

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

std::string shard_change_name(std::string_view shard) { return std::string("shard:").append(shard); }

Status check_shard_fence(const ::workflowdata::Record& now, const ::workflowdata::Fence& fence) {
  if (now.id() == fence.workflow_id() && now.epoch() == fence.epoch() && now.has_open()) return {};
  return fail(Code::kFailedPrecondition,
              "locks were lost: the change of the shard's primary that this command belongs to has ended, or was taken "
              "over by another process");
}

net::Task<Status> check_shard_fence(Server& server, std::string keyspace, std::string shard,
                                    ::workflowdata::Fence fence) {
  if (!fence.workflow_id().starts_with(kShardChangeId)) co_return Status{};
  auto stored = co_await server.global().get(movement_record_path(keyspace, shard_change_name(shard)));
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  ::workflowdata::Record record;
  if (stored.ok() && !record.ParseFromString(stored->data)) {
    co_return fail(Code::kDataLoss, "the record of the change of the shard's primary cannot be decoded");
  }
  co_return check_shard_fence(record, fence);
}

}  // namespace vitrail::topo
