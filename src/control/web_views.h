#pragma once

#include <memory>
#include <string>

#include "control/tablet_healths.h"
#include "control/vtctld.h"

namespace vitrail::control {

// What vtctld's web pages show, each as one JSON document on one line; docs/operators/http.md lists their fields:
//
//     cluster                     keyspaces with their shards, what serves, tablets by type, what is not well
//     keyspace/<keyspace>         its record, shards and VSchema
//     shard/<keyspace>/<shard>    its record and tablets with their health
//     workflows                   MoveTables and Reshard workflows of all keyspaces
//     workflow/<keyspace>/<name>  one of them: streams, copy progress, traffic, the last VDiff
//     sharding                    sharding workflows of all branches
//     sharding/<branch>/<name>    one of them, with what its engine says
//     manager                     workflows of the workflow manager, as trees of nodes, and who runs them
//     cells                       cells and their aliases
//     processes                   programs that run, with their versions, and the versions of tablets
//     queries/<order>             statements of all vtgates that cost most: by time, count, rows or errors
//     topology/<path>             a record or its children
//
//   Threads: one loop. `vtctld` has started, and outlives this object. stop() before destruction.
class WebViews {
 public:
  WebViews(Vtctld& vtctld, std::string cell);
  ~WebViews();
  // kNotFound: no such document, or what it is about is not there.
  net::Task<Result<std::string>> make(std::string name);
  net::Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::control
