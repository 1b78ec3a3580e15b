#pragma once

#include <string>

#include "topo/locks.h"
#include "topo/record.h"
#include "topo/server.h"
#include "vschema.pb.h"

namespace vitrail::topo {

// kNotFound without a record.
net::Task<Result<Versioned<::vschema::Keyspace>>> get_vschema(Server& server, std::string keyspace);
// Checks only that the keyspace exists; what a VSchema may say is vschema/'s business. `expected`: as in Store::update.
// Rebuild SrvVSchema afterwards.
net::Task<Status> save_vschema(Server& server, std::string keyspace, ::vschema::Keyspace record,
                               std::optional<Version> expected = {});
// Reads (an empty one when missing), lets `fn` change, writes; again on a conflict.
net::Task<Result<::vschema::Keyspace>> update_vschema_fields(Server& server, std::string keyspace,
                                                             UpdateFn<::vschema::Keyspace> fn, WriteGuard guard = {});
// A missing record is no error.
net::Task<Status> delete_vschema(Server& server, std::string keyspace);

// Rules. A missing record reads as empty (version: empty), and saving an empty list deletes the record.
template <typename Rules>
struct RulesRecord {
  Rules rules;
  std::optional<Version> version;
};
net::Task<Result<RulesRecord<::vschema::RoutingRules>>> get_routing_rules(Server& server);
net::Task<Status> save_routing_rules(Server& server, ::vschema::RoutingRules rules);
// Reads, lets `fn` change, saves; again on a conflict, so that two writers lose nothing of each other.
net::Task<Result<::vschema::RoutingRules>> update_routing_rules(Server& server, UpdateFn<::vschema::RoutingRules> fn,
                                                                WriteGuard guard = {});

net::Task<Result<RulesRecord<::vschema::ShardRoutingRules>>> get_shard_routing_rules(Server& server);
net::Task<Status> save_shard_routing_rules(Server& server, ::vschema::ShardRoutingRules rules);
net::Task<Result<::vschema::ShardRoutingRules>> update_shard_routing_rules(Server& server,
                                                                           UpdateFn<::vschema::ShardRoutingRules> fn,
                                                                           WriteGuard guard = {});

net::Task<Result<RulesRecord<::vschema::KeyspaceRoutingRules>>> get_keyspace_routing_rules(Server& server);
net::Task<Status> save_keyspace_routing_rules(Server& server, ::vschema::KeyspaceRoutingRules rules);
net::Task<Result<::vschema::KeyspaceRoutingRules>> update_keyspace_routing_rules(
    Server& server, UpdateFn<::vschema::KeyspaceRoutingRules> fn, WriteGuard guard = {});

net::Task<Result<RulesRecord<::vschema::MirrorRules>>> get_mirror_rules(Server& server);
net::Task<Result<::vschema::MirrorRules>> update_mirror_rules(Server& server, UpdateFn<::vschema::MirrorRules> fn,
                                                              WriteGuard guard = {});
net::Task<Status> save_mirror_rules(Server& server, ::vschema::MirrorRules rules);

}  // namespace vitrail::topo
