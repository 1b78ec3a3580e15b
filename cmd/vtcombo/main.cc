#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/startup.h"
#include "combo/combo.h"
#include "combo/servers.h"
#include "control/web_site.h"

// vtcombo: a whole cluster in one process, for laptops and for the tests of applications.
namespace {

vitrail::Result<std::string> make_data_dir(const std::string& wanted) {
  namespace fs = std::filesystem;
  if (!wanted.empty()) {
    const std::string path = fs::absolute(wanted).lexically_normal().string();
    const vitrail::Status made = vitrail::base::make_directories(path);
    if (!made.ok()) return made.error();
    return path;
  }
  const char* parent = std::getenv("TMPDIR");
  std::string path = std::string(parent == nullptr || *parent == '\0' ? "/tmp" : parent) + "/vtcombo-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return vitrail::base::system_error(errno, "a folder like " + path);
  return path;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("vtcombo", "a whole cluster with MySQL servers of its own in one process");
  combo::Options options;
  combo::declare(settings, options);
  uint32_t keeper_of = 0;
  settings.add("keeper_of", &keeper_of, "for this program itself: stop the servers when that process has ended")
      .hidden();
  settings.add_config_file();
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  if (keeper_of != 0) return combo::keep(options.data_dir, static_cast<pid_t>(keeper_of), options.persistent);

  base::block_termination_signals();
  const auto refuse = [](const Error& error) {
    std::fprintf(stderr, "vtcombo: %s\n", error.message().c_str());
    return 1;
  };
  if (options.persistent && options.data_dir.empty()) {
    return refuse(fail(Code::kInvalidArgument, "--persistent-mode needs a --data-dir"));
  }
  auto spec = combo::make_spec(options.keyspaces, options.num_shards, options.replica_count, options.rdonly_count);
  if (!spec.ok()) return refuse(spec.error());
  auto schemas = combo::read_schema_dir(options.schema_dir, *spec);
  if (!schemas.ok()) return refuse(schemas.error());
  const auto data_dir = make_data_dir(options.data_dir);
  if (!data_dir.ok()) return refuse(data_dir.error());
  auto keeper = combo::spawn_keeper(*data_dir, options.persistent);
  if (!keeper.ok()) return refuse(keeper.error());

  int exit_code = 0;
  Status started = combo::start_servers(*spec, *data_dir);
  if (started.ok()) {
    const control::WebSite site(control::built_web_files());
    combo::Combo cluster(options, *spec, std::move(*schemas), *data_dir, settings, site);
    started = cluster.start();
    if (started.ok()) {
      std::printf("%s\n", cluster.ports_json().c_str());
      std::fflush(stdout);
      base::wait_for_termination_signal();
      log_info("stopping");
    }
    cluster.stop();
  }
  if (!started.ok()) exit_code = refuse(started.error());
  const auto ended = keeper->stop(std::chrono::minutes(2));
  if (!ended.ok() || !ended->success()) {
    return refuse(fail(Code::kInternal, "not every server could be stopped; what is left is in " + *data_dir));
  }
  return exit_code;
}
