#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/workflow/engine/runner.h"
#include "control/workflow/sides.h"
#include "vschema/routing_rules.h"

namespace vitrail::control {

// What a switch is to do, as the record of its operation says it.
struct SwitchPlan {
  bool reverse = false;
  bool writes = true;
  std::vector<::topodata::TabletType> read_types;  // Empty: reads stay.
  std::vector<std::string> cells;                  // Of the reads; empty: all.
  bool enable_reverse_replication = true;
  bool initialize_sequences = false;  // Those from which the moved tables take ids on the target.
  base::Duration timeout = std::chrono::seconds(30);
  // Reads that are elsewhere before: "REPLICA@zone1" ("REPLICA@" for rules, which hold for all cells).
  std::vector<std::string> moving_reads;
  bool skip_refresh = false;  // The tablets that reads leave are not told.

  std::map<std::string, std::string> to_settings() const;
  static SwitchPlan from_settings(const google::protobuf::Map<std::string, std::string>& settings);
};

// Moves reads and writes of a workflow from one side to the other. "from" serves now; the streams that bring its rows
// over live on the "to" side. Reversing is the same with the sides exchanged.
class SwitchOperation final : public engine::Operation {
 public:
  // Both must outlive it.
  SwitchOperation(TabletClient& tablets, engine::Tenure& tenure, SwitchPlan plan, Side source, Side target);

  std::vector<engine::Step> steps() override;
  bool close(engine::Record& record, bool undone) override;

 private:
  const engine::Record& record() const { return tenure_.record(); }
  topo::Server& topology() { return tablets_.topology(); }
  net::Wait wait() const { return net::Wait::within(plan_.timeout); }
  bool is_reshard() const { return record().kind() == "Reshard"; }
  net::Task<Status> route_shards();
  std::string stream_name() const;   // Of the streams that bring the rows over.
  std::string reverse_name() const;  // Of those that will bring them back.
  vschema::TableMove move() const { return {record().source_keyspace(), record().target_keyspace(), tables_}; }

  std::vector<engine::Step> add_tenant_steps(std::vector<engine::Step> steps);
  net::Task<Status> switch_reads(bool undo);
  // Shards may get other primaries between two steps.
  net::Task<Status> reload(Side& side);
  net::Task<Status> create_reverse_streams();
  net::Task<Status> find_reverse_streams(Place place, char& present);
  net::Task<Status> create_reverse_streams_on(Place place, const ::vschema::Keyspace& from_vschema);
  Result<::tabletmanagerdata::CreateVReplicationWorkflowRequest> reverse_streams(
      const Place& place, const ::vschema::Keyspace& from_vschema) const;
  net::Task<Status> delete_created_streams();
  net::Task<void> let_transactions_end();
  net::Task<Status> stop_writes();
  net::Task<Status> allow_writes();
  net::Task<Status> write_fence(bool stop);
  net::Task<Status> catch_up();
  net::Task<Status> initialize_sequences();
  net::Task<Status> stop_streams(bool stop);
  net::Task<Status> position_reverse_streams();
  net::Task<Status> write_journal();
  net::Task<Status> allow_target_writes();
  net::Task<Status> switch_routing();
  net::Task<Status> start_reverse_streams();
  net::Task<Status> freeze_streams();

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  const SwitchPlan plan_;
  Side source_;  // Of the workflow as it was created.
  Side target_;
  Side& from_;
  Side& to_;
  const std::vector<std::string> tables_;
  std::map<std::string, std::string> positions_;  // Of the "to" side's shards.
};

// RefreshState on every tablet of both sides: whoever cannot would go on serving what it should not (S1-01..S1-05).
net::Task<Status> refresh_everything(TabletClient& tablets, const Side& source, const Side& target, net::Wait wait);

// The filter by which a shard of `keyspace` gets its part of a table: "select * from t", with in_keyrange() when the
// keyspace is sharded. kFailedPrecondition when the table has no primary vindex there. kByDefinition: for sources in
// another cluster, whose tablets do not know the vschema; what they could not compute alike is refused.
enum class VindexBy : uint8_t { kName, kDefinition };
Result<std::string> table_filter(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                                 const std::string& table, const shard::ShardName& shard,
                                 VindexBy by = VindexBy::kName);

}  // namespace vitrail::control
