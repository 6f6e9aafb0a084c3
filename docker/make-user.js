// Run by the image of MongoDB in an empty database: a user who may use Pyrite's database only.
const password = require("fs").readFileSync("/run/secrets/database_password", "utf8").trim();
db.getSiblingDB("pyrite").createUser({
  user: "pyrite",
  pwd: password,
  roles: [{ role: "readWrite", db: "pyrite" }],
});
