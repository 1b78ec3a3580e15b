#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "net/mysql_client.h"
#include "schema/schema.h"
#include "shard/key_range.h"
#include "shard/target.h"
#include "topo/srv_watcher.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

// One healthy tablet that can serve a target.
struct Endpoint {
  std::string alias;
  net::MysqlAddress address;  // Of its MySQL data port.
  int64_t term_start_ns = 0;  // Of a primary; the younger one of two is right.
};

// A shard that takes queries of one tablet type.
struct ActiveShard {
  std::string name;
  shard::KeyRange range;
  bool disabled = false;  // query_service_disabled: it is being switched; statements for it wait.
};

// Everything a query looks at: an immutable snapshot, replaced as a whole when anything changes. Reading it takes no
// lock; the topology is never on the path of a query.
struct View {
  uint64_t version = 0;
  std::shared_ptr<const vschema::VSchema> vschema;         // Null before the first one arrived.
  std::shared_ptr<const vschema::TrackedColumns> columns;  // As `vschema` was made with.
  std::shared_ptr<const schema::Snapshot> schema;          // The tables as servers have them, as `columns`.
  // Keyspaces whose tables are being asked for, and not known yet.
  std::set<std::string, std::less<>> asked;
  std::shared_ptr<const vschema::VSchema> mirror;  // As reads see it that are run again; null without mirror rules.
  uint64_t vschema_version = 0;                    // Changes when `vschema` does: part of the plan cache's key.
  // Keyspaces that this cell serves from others, as `vschema` has it: "customer@replica" -> "commerce".
  std::map<std::string, std::string, std::less<>> served_from;
  std::shared_ptr<const topo::ServingState> topology;

  // By keyspace, then tablet type ("primary").
  std::map<std::string, std::map<std::string, std::vector<ActiveShard>, std::less<>>, std::less<>> shards;
  // Keyspace -> its database on the servers, as healthy tablets have it.
  std::map<std::string, std::string, std::less<>> databases;
  // Tablets that are silent, by the address of their data port, and when they were heard last.
  std::unordered_map<std::string, base::TimePoint> lost;
  // The tablets that statements go to, by Target::to_string(). For a primary at most one, of any cell; of others those
  // that choose_replicas() takes.
  std::unordered_map<std::string, std::vector<Endpoint>> endpoints;
  std::map<std::string, int64_t, std::less<>>
      healthy;  // All that serve, of every watched cell, by Target::to_string().

  bool has_keyspace(std::string_view keyspace) const { return shards.contains(keyspace); }
  // Null when the keyspace does not serve that type.
  const std::vector<ActiveShard>* find_shards(std::string_view keyspace, std::string_view tablet_type) const;
  const std::vector<Endpoint>* find_endpoints(const shard::Target& target) const;
  // While a keyspace is moved shard by shard, some of its shards are served by another one.
  void follow_shard_rule(shard::Target& target) const;
};

// Fills View::shards and View::served_from from the SrvKeyspace records of `topology`.
void fill_shards(View& view);

}  // namespace vitrail::gate
