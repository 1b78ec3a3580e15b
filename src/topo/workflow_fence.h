#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "topo/server.h"
#include "workflowdata.pb.h"

namespace google::protobuf {
class Message;
}

namespace vitrail::topo {

// Whose command a request to a tablet is, beside the fields that the interface has: in a field of a number that no
// version of it uses, which servers that do not know it ignore.
void set_fence(google::protobuf::Message& request, const ::workflowdata::Fence& fence);
std::optional<::workflowdata::Fence> find_fence(const google::protobuf::Message& request);

// The change of a shard's primary that is under way is a record beside those of the keyspace's workflows, with a name
// that no workflow can have: "shard:-80".
std::string shard_change_name(std::string_view shard);
// Ids of such records begin so: their fences are checked here, those of workflows where the streams are.
inline constexpr std::string_view kShardChangeId = "reparent-";

// Whether a command that carries this fence may still be carried out on a tablet of the shard: the change is under way,
// and by the owner who sent it. Any fence of another kind may.
//   kFailedPrecondition: it has ended, or somebody else has taken it over.
net::Task<Status> check_shard_fence(Server& server, std::string keyspace, std::string shard,
                                    ::workflowdata::Fence fence);
Status check_shard_fence(const ::workflowdata::Record& now, const ::workflowdata::Fence& fence);

}  // namespace vitrail::topo
