#include <cstdio>

#include "base/startup.h"
#include "net/loop.h"
#include "topo/copy.h"

namespace {

using namespace vitrail;

struct Side {
  topo::ServerOptions options{.implementation = "", .global_server_address = "", .global_root = ""};
  void declare(base::Settings& settings, const std::string& name) {
    settings
        .add(name + "-implementation", &options.implementation, "kind of that topology: " + topo::store_kind_names())
        .required();
    settings.add(name + "-server", &options.global_server_address, "address of its global server").required();
    settings.add(name + "-root", &options.global_root, "its global root").required();
  }
};

net::Task<Status> work(topo::Server& from, topo::Server& to, topo::CopyParts parts, bool compare) {
  if (!compare) {
    CO_ASSIGN_OR_RETURN(const size_t count, co_await topo::copy_records(from, to, parts));
    std::printf("copied %zu records\n", count);
    co_return Status{};
  }
  CO_ASSIGN_OR_RETURN(const auto differences, co_await topo::compare_records(from, to, parts));
  for (const auto& line : differences) std::printf("%s\n", line.c_str());
  if (!differences.empty()) co_return fail(Code::kFailedPrecondition, "topologies are not in sync");
  std::printf("topologies are in sync\n");
  co_return Status{};
}

net::Task<Status> run(topo::ServerOptions from_options, topo::ServerOptions to_options, topo::CopyParts parts,
                      bool compare) {
  auto from = co_await topo::Server::open(std::move(from_options));
  if (!from.ok()) co_return std::move(from).error().with_context("the first topology");
  auto to = co_await topo::Server::open(std::move(to_options));
  Status done;
  if (to.ok()) {
    done = co_await work(**from, **to, parts, compare);
    co_await (*to)->close();
  } else {
    done = std::move(to).error().with_context("the second topology");
  }
  co_await (*from)->close();
  co_return done;
}

}  // namespace

// topo2topo: copies the records of one topology into another, or compares them.
int main(int argc, char** argv) {
  base::Settings settings("topo2topo", "copies the records of one topology into another, or compares them");
  Side from, to;
  topo::CopyParts parts;
  topo::StoreSettings stores;
  bool compare = false;
  from.declare(settings, "from");
  to.declare(settings, "to");
  settings.add("compare", &compare, "compare the two and change nothing; exit code 1 when they differ");
  settings.add("do-keyspaces", &parts.keyspaces, "Keyspace and VSchema records");
  settings.add("do-shards", &parts.shards, "Shard records");
  settings.add("do-shard-replications", &parts.shard_replications, "ShardReplication records of every cell");
  settings.add("do-tablets", &parts.tablets, "Tablet records of every cell");
  settings.add("do-routing-rules", &parts.routing_rules, "routing rules of tables, shards and keyspaces");
  for (const topo::StoreKind& kind : topo::store_kinds()) {
    if (kind.declare != nullptr) kind.declare(settings, stores);
  }
  base::Startup startup(settings, base::LogLevel::kError);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  if (!parts.any()) {
    std::fprintf(stderr,
                 "topo2topo: say what to %s: --do-keyspaces, --do-shards, --do-shard-replications, --do-tablets, "
                 "--do-routing-rules\n",
                 compare ? "compare" : "copy");
    return 1;
  }
  from.options.stores = to.options.stores = stores;
  net::LoopThread loop("client");
  const Status done = net::block_on(loop.loop(), run(from.options, to.options, parts, compare));
  if (done.ok()) return 0;
  std::fprintf(stderr, "topo2topo: %s\n", done.error().message().c_str());
  return 1;
}
