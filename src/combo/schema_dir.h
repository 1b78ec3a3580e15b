#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "combo/spec.h"
#include "vschema.pb.h"

// The folder with schemas and vschemas that a new cluster begins with.
namespace vitrail::combo {

struct KeyspaceSchema {
  ::vschema::Keyspace vschema;
  struct File {
    std::string path;
    std::vector<std::string> statements;
  };
  std::vector<File> files;  // By name.
};

// By keyspace; one for each of the spec's. Without a folder, or without one of its own, a keyspace is empty; it is
// sharded when it has several shards.
//   kInvalidArgument, kNotFound: the file that cannot be used is named; a folder that names no keyspace; tables for a
//   keyspace of several shards whose vschema.json is missing, or says that it is not sharded.
Result<std::map<std::string, KeyspaceSchema>> read_schema_dir(const std::string& path, const Spec& spec);

}  // namespace vitrail::combo
