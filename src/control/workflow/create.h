#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/workflow/engine/runner.h"
#include "control/workflow/sides.h"
#include "control/workflow/stream_settings.h"
#include "vschema/routing_rules.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// Of Materialize: tables that follow others. Nothing is ever switched.
inline constexpr const char* kMaterialize = "Materialize";

// What a new workflow is made of. Empty for a process that only takes it back.
struct CreatePlan {
  StreamSettings settings;
  std::vector<::tabletmanagerdata::TableDefinition> tables;  // To be made on each target; empty: they are there.
  std::map<std::string, std::vector<::binlogdata::BinlogSource>> sources;  // By target shard: one for each stream.
  // By source shard: the rows are there already, as of this position, and the streams go on from it.
  std::map<std::string, std::string> positions;
  // Tables whose AUTO_INCREMENT a sequence replaces, with its column; the sequences are made in this keyspace.
  std::map<std::string, std::string> numbered;
  std::string global_keyspace;
  bool unsharded_target = false;
  bool routing_rules = false;
  bool auto_start = true;
};

// The first operation of a workflow. When it does not come to its end nothing of it is left, and no record.
class CreateOperation final : public engine::Operation {
 public:
  // Both must outlive it.
  CreateOperation(TabletClient& tablets, engine::Tenure& tenure, CreatePlan plan, Side target);

  std::vector<engine::Step> steps() override;
  bool close(engine::Record& record, bool undone) override;

 private:
  const engine::Record& record() const { return tenure_.record(); }
  topo::Server& topology() { return tablets_.topology(); }
  vschema::TableMove move() const { return {record().source_keyspace(), record().target_keyspace(), tables_}; }
  net::Task<Status> note(const char* step, std::string name, std::string value);
  net::Task<Status> note_all(const char* step, std::map<std::string, std::string> notes);
  std::vector<std::string> noted(const char* step, const std::string& name) const;

  net::Task<Status> deploy_schema();
  net::Task<Status> find_missing_tables(Place place, std::vector<const ::tabletmanagerdata::TableDefinition*>& missing);
  net::Task<Status> make_tables_on(Place place, std::vector<const ::tabletmanagerdata::TableDefinition*> missing);
  net::Task<Status> drop_created_tables();
  net::Task<Status> drop_created_tables_on(Place place);
  net::Task<Status> create_sequences();
  net::Task<Status> remove_created_sequences();
  net::Task<Status> delete_left_streams();
  net::Task<Status> find_left_streams(::topodata::Tablet primary, std::string name,
                                      std::vector<::topodata::Tablet>& where);
  net::Task<Status> create_streams();
  net::Task<Status> create_streams_on(Place place);
  net::Task<Status> delete_created_streams();
  net::Task<Status> add_to_vschema();
  net::Task<Status> remove_added_from_vschema();
  net::Task<Status> add_routing_rules();
  net::Task<Status> add_tenant_rules();
  net::Task<Status> add_shard_rules();
  net::Task<Status> remove_routing_rules();
  net::Task<Status> deny_target_tables(bool deny);
  net::Task<Status> start_streams();
  net::Task<Status> position_streams(Place place);
  net::Task<Status> set_source_shards(bool present);
  net::Task<Status> add_source_shards_of(Place place);

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  const CreatePlan plan_;
  const Side target_;
  const std::vector<std::string> tables_;
};

// Whether create_sequences() would find nothing of another kind in its way.
net::Task<Status> check_new_sequences(TabletClient& tablets, std::string keyspace,
                                      std::map<std::string, std::string> numbered);

// What creations of each kind begin with.
Status check_workflow_name(const std::string& workflow);
net::Task<Result<::tabletmanagerdata::SchemaDefinition>> read_schema(TabletClient& tablets, ::topodata::Tablet tablet,
                                                                     std::vector<std::string> only,
                                                                     std::vector<std::string> exclude);
struct MovedTables {
  ::tabletmanagerdata::SchemaDefinition schema;
  std::vector<std::string> names;  // Sorted.
};
// Those of the source that the request names, without what tools have made for their own work.
net::Task<Result<MovedTables>> choose_tables(TabletClient& tablets, const ::vtctldata::MoveTablesCreateRequest& request,
                                             ::topodata::Tablet source);
StreamSettings move_settings(const ::vtctldata::MoveTablesCreateRequest& request);
// Takes AUTO_INCREMENT out of the definitions; whose it was, with the column.
std::map<std::string, std::string> take_numbering(std::vector<::tabletmanagerdata::TableDefinition>& tables,
                                                  const ::vschema::Keyspace& target);
// Before anything else is asked: what is in the way, is named. It counts again under the locks.
net::Task<Status> check_free(TabletClient& tablets, const engine::Record& record);
// Under the keyspaces' locks: checks for conflicts, makes the record and carries the creation out.
net::Task<Status> start_creation(TabletClient& tablets, engine::Record record, CreatePlan plan, std::string action);

// Both check everything that can be checked before anything changes; a refusal leaves nothing behind.
net::Task<Status> create_move_tables(TabletClient& tablets, ::vtctldata::MoveTablesCreateRequest request);
net::Task<Status> create_reshard(TabletClient& tablets, ::vtctldata::ReshardCreateRequest request);

// A workflow whose rows somebody else has copied exactly: its streams begin at `positions` (by source shard), and the
// target shards name their sources (Shard.source_shards), as shards with filtered replication always did.
struct CopiedWorkflow {
  std::string kind;  // "Reshard" or "MoveTables".
  std::string workflow;
  std::string source_keyspace;
  std::string target_keyspace;
  std::vector<std::string> source_shards;
  std::vector<std::string> target_shards;
  std::vector<std::string> tables;  // Of MoveTables: without routing rules, the keyspace is served from another.
  std::vector<std::string> exclude_tables;  // Of Reshard: names.
  std::map<std::string, std::string> positions;
};
// kFailedPrecondition: another workflow is in the way. Undone when it does not come to its end.
net::Task<Status> create_copied(TabletClient& tablets, CopiedWorkflow workflow);

}  // namespace vitrail::control
