#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/task.h"
#include "topo/server.h"
#include "workflowdata.pb.h"

// The durable records of workflows: movement/<target keyspace>/<workflow>/Record of the global topology.
namespace vitrail::control::engine {

using Record = ::workflowdata::Record;

struct StoredRecord {
  Record record;
  topo::Version version;
};

// Milliseconds since the epoch.
int64_t to_ms(base::WallTime time);

// kNotFound: no record. kDataLoss: not readable.
net::Task<Result<StoredRecord>> load_record(topo::Server& topology, std::string keyspace, std::string workflow);
// Of a change of a shard's primary, not of a workflow; it is there as long as the change is under way.
inline constexpr std::string_view kShardChange = "Reparent";
// Of MigrateServedFrom; likewise.
inline constexpr std::string_view kServedFromChange = "ServedFrom";
// All of them, by path; those of these two kinds only when they are asked for. What cannot be read is left out.
net::Task<Result<std::vector<StoredRecord>>> list_records(topo::Server& topology, bool with_shard_changes = false);
// kAlreadyExists: there is a workflow of that name.
net::Task<Result<StoredRecord>> create_record(topo::Server& topology, Record record);

// What the streams are made with from now on. kAborted: somebody else has changed the record meanwhile.
net::Task<Status> change_options(topo::Server& topology, StoredRecord stored,
                                 std::map<std::string, std::string> options);

// "MoveTables customer.commerce2customer".
std::string name_of(const Record& record);
// What is open on it, since when, by whom and why, for people; empty: nothing is.
std::string describe_open(const Record& record);

// A note of steps that make clients wait, for as long as the operation is open.
inline constexpr std::string_view kHoldsClients = "holds_clients";
// Such a step was begun and is not undone.
bool holds_clients(const ::workflowdata::Operation& open);

std::string serialize(const Record& record);
Result<Record> parse_record(const std::string& data);

}  // namespace vitrail::control::engine
