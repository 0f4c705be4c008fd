// An OpenID provider for tests, with its own sign-in and consent pages: any password will do.
// Arguments: the port, and a JSON file with {client, accounts: {name: claims}}, read at each use.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, file] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const configured = () => JSON.parse(readFileSync(file, "utf8"));

const provider = new Provider(issuer, {
  clients: [configured().client],
  claims: { openid: ["sub"], profile: ["name", "groups"] },
  conformIdTokenClaims: configured().claimsInUserinfo ?? true,
  pkce: { required: () => true },
  cookies: { keys: ["a key for tests"] },
  async findAccount(_, id) {
    const claims = configured().accounts[id];
    return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log(`listening at ${issuer}`));
