// Records of any kind from any bytes: decoding, both text forms, and the smaller parsers beside them.

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "topo/decode.h"
#include "topo/locks.h"
#include "topo/paths.h"
#include "topo/tablet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace vitrail::topo;
  static const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);
  if (size == 0 || !quiet) return 0;
  static constexpr std::string_view kPaths[] = {"cells/c/CellInfo",     "cells_aliases/a/CellsAlias",
                                                "keyspaces/k/Keyspace", "keyspaces/k/shards/0/Shard",
                                                "keyspaces/k/VSchema",  "keyspaces/k/shards/0/ShardReplication",
                                                "tablets/t-1/Tablet",   "keyspaces/k/SrvKeyspace",
                                                "SrvVSchema",           "RoutingRules",
                                                "ShardRoutingRules",    "routing_rules/keyspace/Rules",
                                                "MirrorRules",          "ExternalClusters/vitess/x"};
  const std::string_view path = kPaths[bytes[0] % std::size(kPaths)];
  const std::string_view data(reinterpret_cast<const char*>(bytes + 1), size - 1);
  (void)decode_to_prototext(path, data);
  (void)decode_to_json(path, data);
  (void)parse_alias(data);
  (void)parse_tablet_type(data);
  (void)normalize_path(data);
  (void)LockContents::from_json(data).describe();
  return 0;
}
