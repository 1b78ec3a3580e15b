#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/shared_for_test.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

// Vschemas of other projects' tests; they are not part of this repository (VITRAIL_SHARED).
const std::filesystem::path kSchemas = base::shared_folder() / "corpus" / "schema";

TEST(VSchemaCorpus, EveryKeyspaceMayBeSaved) {
  if (!std::filesystem::exists(kSchemas)) GTEST_SKIP() << "no folder " << kSchemas;
  size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kSchemas)) {
    const std::filesystem::path& path = entry.path();
    const std::string name = path.filename().string();
    const bool is_vschema = name.ends_with("_vschema.json") || name.ends_with("VSchema.json");
    if (!is_vschema || path.string().find("/upstream/") != std::string::npos) continue;
    SCOPED_TRACE(path.string());
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    ::vschema::Keyspace record;
    std::vector<std::string> unknown;
    const Status read = parse_json(text.str(), record, &unknown);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(find_problems("ks", record), std::vector<std::string>());
    ++count;
  }
  EXPECT_GE(count, 44u);
}

}  // namespace
}  // namespace vitrail::vschema
