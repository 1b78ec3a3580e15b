#include "mysqld/installation.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>
#include <vector>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"

namespace vitrail::mysqld {
namespace {

constexpr std::string_view kAdvice =
    "Install a server (Debian and Ubuntu: apt-get install mariadb-server; Fedora and RHEL: dnf install "
    "mariadb-server), "
    "or set VT_MYSQL_ROOT to the folder that holds its bin/";

// The first executable among `names`, folder by folder.
std::string find_program(const std::vector<std::string>& folders, std::initializer_list<std::string_view> names) {
  for (const std::string& folder : folders) {
    for (std::string_view name : names) {
      std::string path = fmt::format("{}/{}", folder, name);
      if (::access(path.c_str(), X_OK) == 0) return path;
    }
  }
  return "";
}

// Whether this mysqld_safe is MariaDB's, which starts mariadbd whatever server was found.
bool starts_mariadb(const std::string& script) {
  const auto text = base::read_file(script, 1 << 20);
  return text.ok() && text->find("mariadb") != std::string::npos;
}

}  // namespace

Result<std::string> Installation::require_client() const {
  if (!client.empty()) return client;
  bool mariadb = version.kind == FlavorKind::kMariaDb;
  return fail(Code::kNotFound,
              fmt::format("the command-line client `{}` is not installed; it comes with the package {}",
                          mariadb ? "mariadb" : "mysql", mariadb ? "mariadb-client" : "mysql-client"));
}

Result<Installation> find_installation(std::string_view root, std::string_view path) {
  std::vector<std::string> folders;
  if (!root.empty()) {
    for (std::string_view folder : {"bin", "sbin", "libexec", "scripts"}) {
      folders.push_back(fmt::format("{}/{}", root, folder));
    }
  } else {
    for (std::string_view folder : base::split(path, ':')) {
      if (folder.starts_with('/')) folders.emplace_back(folder);  // A relative one would depend on where we stand.
    }
    for (std::string_view folder :
         {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin"}) {
      folders.emplace_back(folder);
    }
  }

  Installation found;
  found.server = find_program(folders, {"mariadbd", "mysqld"});
  if (found.server.empty()) {
    return fail(Code::kNotFound, fmt::format("found neither mariadbd nor mysqld in {}. {}",
                                             root.empty() ? std::string("PATH and /usr/sbin")
                                                          : fmt::format("{}/bin and {}/sbin", root, root),
                                             kAdvice));
  }
  ASSIGN_OR_RETURN(base::ProgramOutput output,
                   base::run_program({.argv = {found.server, "--no-defaults", "--version"}}, std::chrono::seconds(30)));
  if (!output.exit.success()) {
    return fail(Code::kFailedPrecondition, fmt::format("{} --version ended with {}: {}", found.server,
                                                       output.exit.to_string(), base::trim(output.output)));
  }
  auto version = parse_version_output(output.output);
  if (!version.ok())
    return fail(Code::kFailedPrecondition, fmt::format("{}: {}", found.server, version.error().message()));
  found.version = std::move(*version);
  auto flavor = Flavor::make(found.version);  // Refuses what is too old.
  if (!flavor.ok()) return std::move(flavor).error().with_context(found.server);

  // The system's own installation knows where its files are; a relocated one has to be told.
  if (!root.empty() && root != "/usr") found.base_directory = root;
  if (found.version.kind == FlavorKind::kMariaDb) {
    found.safe = find_program(folders, {"mariadbd-safe", "mysqld_safe"});
    found.install_db = find_program(folders, {"mariadb-install-db", "mysql_install_db"});
    found.client = find_program(folders, {"mariadb", "mysql"});
    if (found.install_db.empty()) {
      return fail(Code::kNotFound, fmt::format("found {} but no mariadb-install-db. {}", found.server, kAdvice));
    }
  } else {
    // What lies beside the server comes first: both kinds may be installed, and the programs have one name.
    folders.insert(folders.begin(), found.server.substr(0, found.server.rfind('/')));
    if (root.empty() && folders[0].ends_with("/sbin")) {
      folders.insert(folders.begin() + 1, folders[0].substr(0, folders[0].size() - 4) + "bin");
    }
    found.safe = find_program(folders, {"mysqld_safe"});
    if (!found.safe.empty() && starts_mariadb(found.safe)) found.safe.clear();
    found.client = find_program(folders, {"mysql"});
  }
  return found;
}

Result<Installation> find_installation() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  return find_installation(variable("VT_MYSQL_ROOT"), variable("PATH"));
}

}  // namespace vitrail::mysqld
