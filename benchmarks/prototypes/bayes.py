import numpy as np,time,sys,torch,torch.nn as nn,torch.nn.functional as F,scipy.sparse as sp_
torch.set_num_threads(2);torch.manual_seed(0);rng=np.random.default_rng(0)
IND=len(sys.argv)>1 and sys.argv[1]=='ind'
G=np.load('graph.npz');V=np.load('events.npz');emb=np.load('emb.npy');hidden=V['hidden']
A=V['A'];src,dst,indptr=G['src'],G['dst'],G['indptr'];E=len(src);N=len(indptr)-1
u,e,tgt,pid,sp,fold,fin,final,depth,backs=A.T
v=dst[e];outdeg=np.diff(indptr);indeg=np.bincount(dst,minlength=N)
tr=sp<8
if IND: tr=tr&~(hidden[u]|hidden[v])
st=V['stack'].astype(int)
Adj=sp_.csr_matrix((np.ones(E,np.float32),(src,dst)),(N,N))
from scipy.sparse.csgraph import shortest_path
import os
if not os.path.exists('dm.npy'): np.save('dm.npy',np.minimum(np.nan_to_num(shortest_path(Adj,unweighted=True,method='D'),posinf=7),7).astype(np.int8))
Dm=torch.tensor(np.load('dm.npy'))
cos=torch.tensor((emb@emb.T).astype(np.float32));adj=torch.tensor(Adj.toarray())
p2=torch.tensor(np.log1p((Adj@Adj).toarray()).astype(np.float32));cin=torch.tensor(np.log1p((Adj.T@Adj).toarray()).astype(np.float32))
c1,c2=torch.tensor(G['c1']),torch.tensor(G['c2']);ind=torch.tensor(np.log1p(indeg)).float();od=torch.tensor(np.log1p(outdeg)).float()
def phi(vv,gg):
    d=Dm[vv,gg].long()
    return torch.stack([cos[vv,gg]*3,adj[vv,gg],adj[gg,vv],(vv==gg).float(),(d<=2).float(),(d<=3).float(),d.float()/3,p2[vv,gg]/2,cin[vv,gg]/2,(c1[vv]==c1[gg]).float(),(c2[vv]==c2[gg]).float(),(ind[vv]-3)/2,(ind[gg]-3)/2,(od[vv]-3)/2],-1)
M=nn.Sequential(nn.Linear(14,32),nn.GELU(),nn.Linear(32,32),nn.GELU(),nn.Linear(32,1))
# base: out-of-fold smoothed markov (4 folds) + position
def smooth(m):
    c=np.bincount(e[m],minlength=E).astype(float);cu=np.bincount(src,weights=c,minlength=N);cv=np.bincount(dst,weights=c,minlength=N)
    ex=np.bincount(dst,weights=cu[src]/np.maximum(outdeg[src],1),minlength=N);lift=(cv+2)/(ex+2);Z=np.bincount(src,weights=lift[dst],minlength=N);pri=lift[dst]/Z[src]
    if IND: pri=np.where(hidden[dst]|hidden[src],np.log1p(indeg[dst])/20,pri)
    return np.log((c+8*pri)/(cu[src]+8))
NF=8
B=np.stack([smooth(tr&(fold%NF!=f)) for f in range(NF)]+[smooth(tr)]).astype(np.float32);Bt=torch.tensor(B)
P=torch.tensor(np.concatenate([G['P'],G['rank'],np.log1p(indeg[dst])[:,None]/5],1)).float()
base=nn.Linear(P.shape[1]+1,1);nn.init.zeros_(base.weight);base.weight.data[0,0]=1
tail=nn.Embedding(4,1) 
npair=np.bincount(pid[tr],minlength=pid.max()+1)[pid]
ff=np.where(sp<8,fold%NF,NF)
params=list(M.parameters())+list(base.parameters());opt=torch.optim.Adam(params,3e-3)
def lay(I):
    n=outdeg[u[I]];K=n.max();mask=np.arange(K)[None]<n[:,None];ei=np.where(mask,indptr[u[I]][:,None]+np.arange(K),indptr[u[I]][:,None])
    return torch.tensor(ei),torch.tensor(mask)
t0=time.time()
for ep in range(3):
    I=np.flatnonzero(tr&(outdeg[u]>1));I=I[rng.random(len(I))<np.minimum(1,(4/npair[I])**.5)];I=I[rng.random(len(I))<.6];I=I[np.argsort(outdeg[u[I]])]
    bs=np.array_split(I,max(1,int(outdeg[u[I]].sum()//30000)));rng.shuffle(bs);ls=0
    if ep==2: 
        for gq in opt.param_groups: gq['lr']=1e-3
    for J in bs:
        ei,mask=lay(J);x=torch.tensor(dst)[ei];g=torch.tensor(tgt[J])[:,None].expand_as(x)
        b=Bt[torch.tensor(ff[J])[:,None],ei]
        s=base(torch.cat([b[...,None],P[ei]],-1))[...,0]+M(phi(x,g))[...,0]
        l=F.cross_entropy(s.masked_fill(~mask,-1e9),torch.tensor(e[J]-indptr[u[J]]));opt.zero_grad();l.backward();opt.step();ls+=l.item()
    print('fit',ep,ls/len(bs),time.time()-t0,flush=True)
with torch.no_grad():
    Mat=torch.empty(N,N)
    for i in range(0,N,100):
        vv=torch.arange(i,min(N,i+100))[:,None].expand(-1,N);gg=torch.arange(N)[None].expand_as(vv);Mat[i:i+100]=M(phi(vv,gg))[...,0]
    base_e=base(torch.cat([Bt[...,None],P[None].expand(NF+1,-1,-1)],-1))[...,0].numpy()   # F,E
Mat=(Mat-Mat.mean(0,keepdim=True)).clamp(-8,8).numpy();X=np.exp(Mat)
print('mat',time.time()-t0,flush=True)
# prior over goals from distinct train pairs (out of fold)
trp,first=np.unique(pid[tr],return_index=True);gp=tgt[tr][first]
cnt=np.bincount(gp,minlength=N);prior=np.log(cnt+.5)
# order clicks in traces: reconstruct via stack: loglik of prior clicks = along the stack pairs (popped ones ignored)
logZ={}
sb=base_e-base_e.max()
flat=np.cumsum(np.r_[0,outdeg[u]]);out=np.zeros(flat[-1],np.float16);ent=np.zeros(len(e),np.float16)
eidx={}
key=src.astype(np.int64)*N+dst
def findedge(a,b):
    k=a.astype(np.int64)*N+b;j=np.minimum(np.searchsorted(key,k),E-1);return np.where(key[j]==k,j,-1)
use=(sp>=8)|tr
for f in range(NF+1):
    be=base_e[f];ex=np.exp(be)
    # Z[u,g]
    S=sp_.csr_matrix((ex.astype(np.float32),dst,indptr),(N,N));Z=S@X; LZ=np.log(np.maximum(Z,1e-20)).astype(np.float32); del Z
    I=np.flatnonzero((ff==f)&use);I=I[np.argsort(u[I],kind='stable')]
    for ck in np.array_split(I,max(1,len(I)//1500)):
        L=np.tile(prior,(len(ck),1)).astype(np.float32)
        if f<NF: # leave own pair's goal out: remove its count
            L[np.arange(len(ck)),tgt[ck]]=np.log(cnt[tgt[ck]]-1+.5)
        for k in range(9):
            a_,b_=st[ck,k],st[ck,k+1];m=(a_>=0);
            if not m.any(): continue
            j=findedge(a_[m],b_[m]);
            L[m]+=0.8*(be[j][:,None]+Mat[b_[m]]-LZ[a_[m]])
            L[np.flatnonzero(m),a_[m]]=-30
        L[np.arange(len(ck)),u[ck]]=-30
        L-=L.max(1,keepdims=True);Pq=np.exp(L);Pq/=Pq.sum(1,keepdims=True)
        ent[ck]=-(Pq*np.log(Pq+1e-9)).sum(1)
        for page in np.unique(u[ck]):
            r=np.flatnonzero(u[ck]==page);s=slice(indptr[page],indptr[page+1])
            w=Pq[r]*np.exp(-LZ[page])[None]
            q=(w@X[dst[s]].T)     # r,deg  -> log-lift
            lq=np.log(np.maximum(q,1e-12)); lq=lq-np.log((np.exp(be[s])[None]*q).sum(1,keepdims=True))
            for t,i in enumerate(ck[r]): out[flat[i]:flat[i+1]]=lq[t]
    print('fold',f,time.time()-t0,flush=True)
np.savez('bayes_ind.npz' if IND else 'bayes.npz',out=out,ent=ent,flat=flat)
# evaluate: base alone vs base+lift
for nm,mm in (('fin',(sp==8)&(fin==1)&(final==0)),('unf',(sp==8)&(fin==0))):
    r0=[];r1=[]
    for i in np.flatnonzero(mm):
        s=slice(indptr[u[i]],indptr[u[i]+1]);b=base_e[NF][s];y=e[i]-s.start
        for rr,sc in ((r0,b),(r1,b+out[flat[i]:flat[i+1]])): rr.append(1/(1+(sc>sc[y]).sum()))
    print(nm,np.mean(r0),np.mean(r1))
