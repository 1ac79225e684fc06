// Compiles only if the types that a client generator makes of the documents say what a client needs.
import type { paths as Write } from "./write";
import type { paths as Read } from "./read";

type Ask = Write["/orders/{id}/commands"]["post"];
export const add: Exclude<Ask["requestBody"]["content"]["application/json"], unknown[]> = {
  type: "AddItemToOrder",
  menu_item: "/menu/items/8d30d99",
  quantity: 2,
};
export function sequence(accepted: Ask["responses"][201]["content"]["application/json"]): number {
  return accepted.sequence;
}
export function total(order: Read["/orders/{id}"]["get"]["responses"][200]["content"]["application/json"]): number {
  return order.total?.amount ?? 0;
}
export function helps(problem: Ask["responses"][409]["content"]["application/problem+json"]): string[] {
  return (problem.next ?? []).map((step) => step.description);
}
// @ts-expect-error a quantity is a number
export const wrong: typeof add = { type: "AddItemToOrder", menu_item: "/menu/items/8d30d99", quantity: "two" };
