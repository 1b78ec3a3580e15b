#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/manager/plan.h"
#include "net/task.h"
#include "topo/record.h"
#include "topo/server.h"

// The records of the manager's workflows: workflows/<uuid>/Workflow of the global topology.
namespace vitrail::control::manager {

struct Stored {
  Record record;
  topo::Version version;
};

// kDataLoss: not such a record.
Result<Record> decode(const std::string& data);
std::string encode(Record record);
// Whether the record belongs to a workflow of the manager: there are others in the same place.
bool is_ours(const Record& record);

// kNotFound, kDataLoss.
net::Task<Result<Stored>> load(topo::Server& topology, std::string uuid);
// By time of creation. What cannot be read, or belongs to others, is left out.
net::Task<Result<std::vector<Stored>>> list(topo::Server& topology);
net::Task<Status> create(topo::Server& topology, Record record);
// Reads, changes, writes; again when somebody else wrote in between. `fence`: see topo::WriteOptions.
net::Task<Result<Record>> change(topo::Server& topology, std::string uuid,
                                 std::function<Result<bool>(Record& record)> fn, std::optional<topo::Fence> fence = {});
net::Task<Status> remove(topo::Server& topology, const Stored& stored);

}  // namespace vitrail::control::manager
