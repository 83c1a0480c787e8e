#include "ftl/sim_parameters.hpp"

#include <gtest/gtest.h>

#include "unit/ftl/support.hpp"

namespace fdpstore::test {
namespace {

using ftl::parse_sim_uri;
using ftl::SimParameters;

TEST(SimUri, DefaultsWhereNothingIsSaid) {
  EXPECT_EQ(need(parse_sim_uri("sim:")), SimParameters{});
  EXPECT_EQ(to_string(SimParameters{}), "sim:");
}

TEST(SimUri, EveryParameterIsReadAndWrittenBack) {
  const std::string uri =
      "sim:capacity=3T,op=28.5,ru=1G,ruhs=5,isolation=persistent,gc=fifo,map=16K,rus=5000,fdp=off,"
      "data=none,dies=128,t_read_us=60,t_prog_us=700.5,t_erase_us=4000,channel_gbps=2,"
      "link_gbps=14,command_us=5,buffer_kib=16K,name=a";
  const SimParameters p = need(parse_sim_uri(uri));
  EXPECT_EQ(p.ftl.capacity_bytes, 3072 * kGiB);
  EXPECT_EQ(p.ftl.spare_percent, 28.5);
  EXPECT_EQ(p.ftl.unit_bytes, kGiB);
  EXPECT_EQ(p.ftl.handles, 5U);
  EXPECT_EQ(p.ftl.isolation, ftl::Isolation::persistent);
  EXPECT_EQ(p.ftl.collection, ftl::Collection::fifo);
  EXPECT_EQ(p.ftl.map_bytes, 16 * kKiB);
  EXPECT_EQ(p.ftl.reclaim_units, 5000U);
  EXPECT_FALSE(p.fdp);
  EXPECT_FALSE(p.keep_payload);
  EXPECT_EQ(p.time.dies, 128U);
  EXPECT_EQ(p.time.read_us, 60);
  EXPECT_EQ(p.time.program_us, 700.5);
  EXPECT_EQ(p.time.erase_us, 4000);
  EXPECT_EQ(p.time.channel_gbps, 2);
  EXPECT_EQ(p.time.link_gbps, 14);
  EXPECT_EQ(p.time.command_us, 5);
  EXPECT_EQ(p.time.buffer_kib, 16384U);
  EXPECT_EQ(p.name, "a");
  EXPECT_EQ(to_string(p), uri);
}

TEST(SimUri, SizesAreBinaryAndExact) {
  EXPECT_EQ(need(parse_sim_uri("sim:capacity=1048576K,ru=262144,map=4K")).ftl.capacity_bytes, kGiB);
  EXPECT_EQ(to_string(need(parse_sim_uri("sim:capacity=1500M"))), "sim:capacity=1500M");
}

TEST(SimUri, WhatIsWrongIsNamedWithItsRemedy) {
  const std::pair<const char*, const char*> cases[] = {
      {"sim:capacity=64X", "capacity = 64X: use a number with K, M, G or T"},
      {"sim:capacity=", "capacity = : use a number"},
      {"sim:capacity=16777216T", "use a number with K"},
      {"sim:op=-1", "op = -1: use a number from 0"},
      {"sim:op=7%", "op = 7%: use a number from 0"},
      {"sim:link_gbps=0", "link_gbps = 0: use a number above 0"},
      {"sim:ruhs=0", "ruhs = 0: use 1 … 128"},
      {"sim:ruhs=-3", "ruhs = -3: use 1 … 128"},
      {"sim:isolation=full", "isolation = full: use initial or persistent"},
      {"sim:gc=lru", "gc = lru: use greedy or fifo"},
      {"sim:data=disk", "data = disk: use memory or none"},
      {"sim:fdp=1", "fdp = 1: use on or off"},
      {"sim:op=7,op=8", "op = 8: it is given twice"},
      {"sim:map=2K,capacity=1G,ru=1M", "map = 2K: use 4K … 512K"},
      {"sim:ru=100K", "ru = 102400: use a multiple of the mapping unit"},
      {"sim:rus=3", "rus = 3 is too few"},
      {"sim:size=1G", "'size' is no parameter: there are capacity, op,"},
      {"sim:capacity=1G,", nullptr},
      {"/dev/ng0n1", "is no simulated device"},
  };
  for (const auto& [uri, expected] : cases) {
    const auto parsed = parse_sim_uri(uri);
    if (expected == nullptr) {
      EXPECT_TRUE(parsed) << uri;
      continue;
    }
    ASSERT_FALSE(parsed) << uri;
    EXPECT_EQ(parsed.error().code, Errc::invalid_option);
    EXPECT_NE(parsed.error().what.find(expected), std::string::npos)
        << uri << " gave: " << parsed.error().what;
  }
}

}  // namespace
}  // namespace fdpstore::test
