#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/settings.h"
#include "control/stream_caller.h"
#include "net/task.h"
#include "rpc/caller.h"
#include "rpc/typed.h"
#include "topo/decode.h"
#include "vttime.pb.h"

namespace google::protobuf {
class Message;
}
namespace vitrail::topo {
class Server;
}

// vtctldclient: commands that become one call of /vtctlservice.Vtctld each, and what they print.
namespace vitrail::control {

// What a command has to work with.
struct ClientContext {
  rpc::Caller vtctld;
  base::Duration action_timeout = std::chrono::hours(1);
  bool compact = false;
  std::vector<std::string> arguments;  // Positional ones.
  std::string who = {};                // For logs of what was done; empty: who runs this program.
  // The topology itself, for the few commands that do not ask vtctld; opened when it is first called, by the --topo
  // settings. Lives as long as the context.
  std::function<net::Task<Result<topo::Server*>>()> topology;

  template <typename Response, typename Request>
  net::Task<Result<Response>> call(std::string_view method, Request request) const {
    return rpc::call<Response>(vtctld, std::string("/vtctlservice.Vtctld/").append(method), request,
                               net::Wait::within(action_timeout));
  }
  // Reads the files that flags name. The web API has none to read: they would be files of its own machine.
  std::function<Result<std::string>(const std::string& path)> read_file;
  // Prints before the command's end: for output that a failure follows. Without it, nothing.
  std::function<void(std::string_view)> show;
  // Methods that answer with a stream.
  StreamCaller streams;
  template <typename Response, typename Request>
  net::Task<Status> call_stream(std::string method, Request request, std::function<void(const Response&)> take) const {
    Status readable;
    Status done = co_await streams(
        "/vtctlservice.Vtctld/" + method, request.SerializeAsString(),
        [&](const std::string& bytes) {
          Response response;
          if (response.ParseFromString(bytes)) {
            take(response);
          } else if (readable.ok()) {
            readable = fail(Code::kInternal, method + ": the answer cannot be read");
          }
        },
        net::Wait::within(action_timeout));
    co_return done.ok() ? std::move(readable) : std::move(done);
  }

  Result<std::string> file(const std::string& path) const;
  // As Vitess prints it: two blanks, snake_case, every field unless --compact.
  Result<std::string> json(const google::protobuf::Message& message) const;
  // The form of messages inside of lists and maps: see vschema::JsonStyle::plain.
  Result<std::string> plain_json(const google::protobuf::Message& message) const;
};

// Returns what goes to standard output.
using ClientCommand = std::function<net::Task<Result<std::string>>(const ClientContext& context)>;

// All commands, declared on `root`. After root.parse(), run_command() finds the one that was chosen.
class CommandSet {
 public:
  explicit CommandSet(base::Settings& root);
  // kInvalidArgument when no command was given.
  net::Task<Result<std::string>> run(const ClientContext& context);

  // For the files that declare commands: a command below `parent` (which may be the root).
  base::Settings& add(base::Settings& parent, std::string_view name, std::string_view description, ClientCommand run,
                      std::vector<std::string> aliases = {});
  base::Settings& root() { return root_; }

 private:
  base::Settings& root_;
  std::vector<std::pair<const base::Settings*, ClientCommand>> commands_;
  std::vector<std::pair<std::vector<std::string>, ClientCommand>> by_path_;
  std::vector<std::pair<const base::Settings*, std::vector<std::string>>> paths_;
};

void add_cell_commands(CommandSet& set);
void add_keyspace_commands(CommandSet& set);
void add_shard_commands(CommandSet& set);
void add_vschema_commands(CommandSet& set);
void add_path_commands(CommandSet& set);
void add_tablet_commands(CommandSet& set);
void add_sql_commands(CommandSet& set);
void add_reparent_commands(CommandSet& set);
void add_schema_commands(CommandSet& set);
void add_validate_commands(CommandSet& set);
void add_workflow_commands(CommandSet& set);
void add_lookup_commands(CommandSet& set);
void add_mount_commands(CommandSet& set);
void add_throttler_commands(CommandSet& set);
void add_sharding_workflow_commands(CommandSet& set);
void add_backup_commands(CommandSet& set);
void add_unbuilt_commands(CommandSet& set);  // Behind all others: only what they have not.

// "ks/shard" or "ks:shard". kInvalidArgument says what was expected.
Result<std::pair<std::string, std::string>> parse_keyspace_shard(std::string_view text);
// "true", "false", "1", "0" and the like. kInvalidArgument names `what`.
Result<bool> parse_bool(std::string_view what, std::string_view text);
// JSON texts (as ClientContext::json() gives them) put together, with the indentation of one more level; "null" for
// none, as Vitess's client prints them.
std::string json_object(const std::map<std::string, std::string>& parts);
std::string json_array(const std::vector<std::string>& parts);
::vttime::Duration to_proto_duration(base::Duration duration);
// --x-file or --x: the text of one of them.
Result<std::string> text_or_file(const ClientContext& context, const std::string& text, const std::string& file,
                                 std::string_view flag);

}  // namespace vitrail::control
